//! The form in which records keep where an image is.

use serde_json::json;

use super::*;

#[test]
fn place_of_an_image_is_a_disks_address_or_a_list_of_files() {
    let check = |text: serde_json::Value, expect: ImagePlace| {
        let read: ImagePlace = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(read, expect);
        assert_eq!(serde_json::to_value(&expect).unwrap(), text);
    };
    let address = "0000:00:04.0";
    check(json!(address), ImagePlace::Disk(address.parse().unwrap()));
    let file = ImageFile {
        path: "/images/a".into(),
        length_bytes: 4096,
    };
    check(
        json!([{"path": "/images/a", "length_bytes": 4096}]),
        ImagePlace::Files(vec![file]),
    );
}
