use super::{
    super::sim::{Fault, FaultKind, SimDisk},
    *,
};

fn path() -> PathBuf {
    "/file".into()
}

#[test]
fn a_file_is_replaced_as_a_whole_each_step_durable_before_the_next() {
    let disk = SimDisk::new(1);
    assert_eq!(read_file(&disk, &path(), 9).unwrap(), Content::Missing);
    for content in [&b"first"[..], b"second", b""] {
        replace_file(&disk, &path(), content).unwrap();
        assert_eq!(read_file(&disk, &path(), 9).unwrap(), Content::Whole(content.to_vec()));
        assert_eq!(names(&disk, Path::new("/")).unwrap(), ["file"]);
        let expected = ["Create file.new", "Write file.new", "Sync file.new", "Rename file.new", "SyncDir "];
        assert_eq!(disk.trace(), expected);
    }
    replace_file(&disk, &path(), &[0; 10]).unwrap();
    assert_eq!(
        read_file(&disk, &path(), 9).unwrap(),
        Content::Unfit("the file has 10 bytes; at most 9 are possible".to_owned())
    );
    assert_eq!(names(&disk, Path::new("/none")).unwrap(), [""; 0]);
}

#[test]
fn whichever_step_fails_the_file_is_the_old_one_or_the_new_and_the_next_replacement_succeeds() {
    for step in 0..5 {
        let disk = SimDisk::new(1);
        replace_file(&disk, &path(), b"old content").unwrap();
        disk.fault(Fault { kind: FaultKind::Io, after: step, for_ever: false });
        let failed = replace_file(&disk, &path(), b"new content").unwrap_err();
        assert_eq!((disk.struck(), failed.renamed), (1, step == 4));
        // Only behind the rename can it be the new one, and then the error says that it may not be durable.
        let expected = if step == 4 { "new content" } else { "old content" };
        assert_eq!(read_file(&disk, &path(), 99).unwrap(), Content::Whole(expected.into()), "step {step}");
        assert_eq!(names(&disk, Path::new("/")).unwrap(), ["file"], "step {step}");
        replace_file(&disk, &path(), b"newer").unwrap();
        assert_eq!(read_file(&disk, &path(), 99).unwrap(), Content::Whole(b"newer".to_vec()));
    }
}

#[test]
fn a_full_disk_is_named_for_what_it_is_and_keeps_the_old_content() {
    for kind in [FaultKind::NoSpace, FaultKind::ShortWrite] {
        let disk = SimDisk::new(1);
        replace_file(&disk, &path(), b"old content").unwrap();
        disk.fault(Fault { kind, after: 0, for_ever: true });
        let error = replace_file(&disk, &path(), b"new content").unwrap_err().error;
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        assert_eq!(read_file(&disk, &path(), 99).unwrap(), Content::Whole(b"old content".to_vec()));
    }
}
