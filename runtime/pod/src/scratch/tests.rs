//! Making, counting and removing.

use super::*;

fn plan(folder: &Path, template: &[u8]) -> ScratchPlan {
    let path = folder.join("template");
    fs::write(&path, template).unwrap();
    ScratchPlan {
        folder: folder.join("scratch"),
        template: path,
    }
}

fn small_template() -> Vec<u8> {
    let mut bytes = b"CFDISK\0\x01".to_vec();
    bytes.extend((1_u64 << 30).to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(4096_u32.to_le_bytes());
    bytes.extend([7; 4096]);
    bytes
}

#[test]
fn scratch_is_made_counted_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), &small_template());
    assert_eq!(scratch_usage(&plan.folder).unwrap(), (0, 0));
    let pod = PodId::try_from("one".to_owned()).unwrap();
    let scratch = Scratch::planned(&plan, &pod);
    let (_file, size) = scratch.make_now(&plan).unwrap();
    assert_eq!(size, 1 << 30);
    let (bytes, files) = scratch_usage(&plan.folder).unwrap();
    assert!((4096..1 << 20).contains(&bytes), "{bytes}");
    assert_eq!(files, 1);
    // Another's is never written over.
    let error = scratch.make_now(&plan).unwrap_err();
    assert!(error.to_string().starts_with("make the scratch disk"));
    scratch.remove().unwrap();
    scratch.remove().unwrap();
    assert_eq!(scratch_usage(&plan.folder).unwrap(), (0, 0));
}

#[test]
fn scratch_without_its_template_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), b"something else, and longer than a head");
    let pod = PodId::try_from("one".to_owned()).unwrap();
    let error = Scratch::planned(&plan, &pod).make_now(&plan).unwrap_err();
    let text = model::chain(&error);
    assert!(
        text.contains(&plan.template.display().to_string()),
        "{text}"
    );
    assert!(text.contains("scratch_template"), "{text}");
    assert!(text.contains("no template"), "{text}");
}
