//! The interface as a table, `../wire.txt`, derived once from the file of Kubernetes, against what our files compile to.

use std::collections::BTreeSet;
use std::fmt::Debug;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

use crate::v1::{
    ImageSpec, KeyValue, PodSandboxState, PodSandboxStateValue, StopContainerRequest, UInt64Value,
};

const TABLE: &str = include_str!("../wire.txt");
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[test]
fn interface_compiled_is_the_table() {
    let expected: BTreeSet<String> = TABLE.lines().map(str::to_owned).collect();
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors of the build");
    assert!(files.file.iter().all(|file| file.package() == "runtime.v1"));
    let found: BTreeSet<String> = facts(&files).into_iter().collect();
    let lost: Vec<_> = expected.difference(&found).collect();
    let new: Vec<_> = found.difference(&expected).collect();
    assert!(
        lost.is_empty() && new.is_empty(),
        "in wire.txt only: {lost:#?}\nin v1/*.proto only: {new:#?}"
    );
}

#[test]
fn interface_table_has_every_call() {
    let calls = |service: &str| {
        let start = format!("rpc {service}.");
        TABLE
            .lines()
            .filter(|line| line.starts_with(&start))
            .count()
    };
    assert_eq!((calls("RuntimeService"), calls("ImageService")), (35, 6));
}

/// One line for each call, field and enum value; one for a message without fields.
fn facts(files: &FileDescriptorSet) -> Vec<String> {
    let mut facts = Vec::new();
    for file in &files.file {
        file.service
            .iter()
            .for_each(|service| of_service(service, &mut facts));
        file.message_type
            .iter()
            .for_each(|message| of_message("", message, &mut facts));
        file.enum_type
            .iter()
            .for_each(|values| of_enum("", values, &mut facts));
    }
    facts
}

fn of_service(service: &ServiceDescriptorProto, facts: &mut Vec<String>) {
    let stream = |streams: bool| if streams { "stream " } else { "" };
    for method in &service.method {
        facts.push(format!(
            "rpc {}.{} {}{} -> {}{}",
            service.name(),
            method.name(),
            stream(method.client_streaming()),
            short(method.input_type()),
            stream(method.server_streaming()),
            short(method.output_type()),
        ));
    }
}

fn of_message(outer: &str, message: &DescriptorProto, facts: &mut Vec<String>) {
    let name = format!("{outer}{}", message.name());
    if message.field.is_empty() {
        facts.push(format!("message {name}"));
    }
    for field in &message.field {
        facts.push(format!(
            "field {name}.{} {} {}",
            field.name(),
            field.number(),
            type_of(message, field)
        ));
    }
    let inside = format!("{name}.");
    message
        .nested_type
        .iter()
        .filter(|nested| !is_map(nested))
        .for_each(|nested| of_message(&inside, nested, facts));
    message
        .enum_type
        .iter()
        .for_each(|values| of_enum(&inside, values, facts));
}

fn of_enum(outer: &str, values: &EnumDescriptorProto, facts: &mut Vec<String>) {
    for value in &values.value {
        facts.push(format!(
            "value {outer}{}.{} {}",
            values.name(),
            value.name(),
            value.number()
        ));
    }
}

/// The type as a .proto file has it, and what else changes the bytes.
fn type_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let entry = message
        .nested_type
        .iter()
        .filter(|nested| is_map(nested))
        .find(|nested| {
            field
                .type_name()
                .ends_with(&format!(".{}.{}", message.name(), nested.name()))
        });
    if let Some([key, value]) = entry.map(|entry| entry.field.as_slice()) {
        return format!("map<{}, {}>", plain_type(key), plain_type(value));
    }
    let mut text = match field.label() {
        Label::Repeated => format!("repeated {}", plain_type(field)),
        Label::Required => format!("required {}", plain_type(field)),
        Label::Optional => plain_type(field),
    };
    if field.oneof_index.is_some() {
        text.push_str(" oneof");
    }
    if let Some(packed) = field.options.as_ref().and_then(|options| options.packed) {
        text.push_str(&format!(" packed={packed}"));
    }
    text
}

fn is_map(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry())
}

fn plain_type(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => short(field.type_name()).to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

fn short(name: &str) -> &str {
    name.trim_start_matches(".runtime.v1.")
}

/// The message is these bytes, and these bytes are the message; the bytes are worked out by hand.
fn check<M: Message + Default + PartialEq + Debug>(message: &M, bytes: &[u8]) {
    assert_eq!(message.encode_to_vec(), bytes);
    assert_eq!(&M::decode(bytes).expect("decode"), message);
}

#[test]
fn message_bytes_are_those_of_protobuf() {
    let stop = StopContainerRequest {
        container_id: "a".to_owned(),
        timeout: 2,
    };
    check(&stop, &[0x0a, 1, b'a', 0x10, 2]);
    // A field number above 15 takes a key of two bytes: 19 << 3 | 2.
    let image = ImageSpec {
        runtime_handler: "h".to_owned(),
        ..ImageSpec::default()
    };
    check(&image, &[0x9a, 0x01, 1, b'h']);
    // An environment variable need not be UTF-8.
    let variable = KeyValue {
        key: "k".to_owned(),
        value: vec![0xff, 0],
    };
    check(&variable, &[0x0a, 1, b'k', 0x12, 2, 0xff, 0]);
    // A wrapper that is there and 0: only its presence is on the wire.
    check(&UInt64Value { value: 0 }, &[]);
}

#[test]
fn enum_value_of_a_later_client_stays_a_number() {
    let state = PodSandboxStateValue::decode([0x08, 7].as_slice()).expect("decode");
    assert_eq!(state.state, 7);
    let known = PodSandboxState::try_from(state.state);
    assert!(known.is_err());
}
