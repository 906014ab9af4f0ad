use std::iter;

use amq_protocol::protocol::parse_class;
use proptest::prelude::*;

use super::*;
use crate::{
    frame::{Split, split_frame},
    method::{
        AMQPClass, ClientMethod, ServerMethod, decode_client_method, decode_server_method,
        write_method,
    },
    reply::ReplyCode,
};

const HOT: [u16; 7] = [40, 50, 60, 71, 80, 90, 120];

fn all_ids() -> impl Iterator<Item = (u16, u16)> {
    (0..=100).flat_map(|class_id| iter::repeat(class_id).zip(0..=130))
}

/// A payload whose fields are all zero.
fn zeros((class_id, method_id): (u16, u16), len: usize) -> Vec<u8> {
    let mut payload = class_id.to_be_bytes().to_vec();
    payload.extend_from_slice(&method_id.to_be_bytes());
    payload.resize(4 + len, 0);
    payload
}

fn is_hot((class_id, method_id): (u16, u16)) -> bool {
    class_id == 60 && HOT.contains(&method_id)
}

#[test]
fn layouts_are_those_of_the_oracle() {
    let mut cold = 0;
    for ids in all_ids().filter(|ids| !is_hot(*ids)) {
        let long = zeros(ids, 64);
        let oracle = parse_class(&long[..]);
        let layout = Layout::of(ids.0, ids.1);
        assert_eq!(layout.is_some(), oracle.is_ok(), "{ids:?}");
        if let (Some(layout), Ok((rest, _))) = (layout, oracle) {
            let exact = &long[..long.len() - rest.len()];
            assert_eq!(layout.check(exact), Ok(()), "{ids:?}");
            assert!(layout.check(&long).is_err(), "{ids:?}");
            cold += 1;
        }
    }
    assert_eq!(cold, 59);
}

#[test]
fn each_side_gets_only_what_the_other_may_send() {
    for ids in all_ids().filter(|ids| !is_hot(*ids)) {
        let long = zeros(ids, 64);
        let exact = match parse_class(&long[..]) {
            Ok((rest, _)) => &long[..long.len() - rest.len()],
            Err(_) => &long[..],
        };
        let sender = Layout::of(ids.0, ids.1).map(|layout| layout.sender);
        let refusal = refusal::unimplemented_method(ids.0, ids.1);
        assert_eq!(refusal.text, "COMMAND_INVALID - unimplemented method");
        match decode_client_method(exact) {
            Ok(_) => assert!(matches!(sender, Some(Client | Both)), "{ids:?}"),
            Err(error) => {
                assert_eq!(error, refusal);
                assert!(matches!(sender, None | Some(Server)), "{ids:?}");
            }
        }
        match decode_server_method(exact) {
            Ok(_) => assert!(matches!(sender, Some(Server | Both)), "{ids:?}"),
            Err(error) => {
                assert_eq!(error, refusal);
                assert!(matches!(sender, None | Some(Client)), "{ids:?}");
            }
        }
    }
}

#[test]
fn surplus_and_missing_octets_are_frame_errors_of_the_method() {
    let payload = zeros((60, 30), 2);
    assert!(decode_client_method(&payload).is_ok());
    let surplus = [&payload[..], &[9]].concat();
    let error = decode_client_method(&surplus).expect_err("an octet too many");
    assert_eq!(error.text, "FRAME_ERROR - cannot decode <<0,0,9>>");
    assert_eq!((error.code, error.class_id, error.method_id), (ReplyCode::FrameError, 60, 30));
    let error = decode_client_method(&payload[..5]).expect_err("an octet too few");
    assert_eq!(error.text, "FRAME_ERROR - cannot decode <<0>>");
}

#[test]
fn short_strings_of_methods_must_be_text() {
    let payload = [0, 60, 0, 30, 2, 0xC3, 0x28, 0];
    let error = decode_client_method(&payload).expect_err("the tag is no text");
    assert_eq!(error.text, "FRAME_ERROR - Malformed UTF-8 in shortstr <<195,40>>");
    assert_eq!((error.class_id, error.method_id), (60, 30));
}

#[test]
fn errors_inside_arguments_name_the_method() {
    let mut payload = zeros((50, 10), 4);
    payload.extend_from_slice(&[0, 0, 0, 3, 1, b'k', b'Z']);
    let error = decode_client_method(&payload).expect_err("the tag is unknown");
    assert_eq!(error.text, "SYNTAX_ERROR - unknown field tag 'Z' (90)");
    assert_eq!((error.code, error.class_id, error.method_id), (ReplyCode::SyntaxError, 50, 10));
}

#[test]
fn prefetch_size_is_not_implemented() {
    let payload = [0, 60, 0, 10, 0, 0, 0, 7, 0, 1, 0];
    let error = decode_client_method(&payload).expect_err("a prefetch size");
    assert_eq!(error.text, "NOT_IMPLEMENTED - prefetch_size!=0 (7)");
    assert_eq!((error.class_id, error.method_id), (60, 10));
}

#[test]
fn access_is_granted_with_ticket_1() {
    use crate::method::access::{AMQPMethod::RequestOk, RequestOk as Fields};
    let mut out = Vec::new();
    write_method(&mut out, 1, &AMQPClass::Access(RequestOk(Fields {})));
    assert_eq!(out[7..], [0, 30, 0, 11, 0, 1, 0xCE]);
}

fn field(field: Field) -> BoxedStrategy<Vec<u8>> {
    let octets = |len: usize| prop::collection::vec(any::<u8>(), len).boxed();
    match field {
        Octet | Bits => octets(1),
        Short => octets(2),
        Long => octets(4),
        ShortString => ".{0,9}"
            .prop_map(|text| {
                let mut bytes = vec![text.len() as u8];
                bytes.extend_from_slice(text.as_bytes());
                bytes
            })
            .boxed(),
        LongString => prop::collection::vec(any::<u8>(), 0..30)
            .prop_map(|octets| [&(octets.len() as u32).to_be_bytes(), &octets[..]].concat())
            .boxed(),
        Table => prop::collection::vec((0..26_u8, any::<u32>()), 0..5)
            .prop_map(|entries| {
                let mut bytes = (entries.len() as u32 * 7).to_be_bytes().to_vec();
                for (key, value) in entries {
                    bytes.extend_from_slice(&[1, b'a' + key, b'I']);
                    bytes.extend_from_slice(&value.to_be_bytes());
                }
                bytes
            })
            .boxed(),
    }
}

fn cold_payload() -> impl Strategy<Value = Vec<u8>> {
    let cold: Vec<_> = all_ids().filter(|ids| Layout::of(ids.0, ids.1).is_some()).collect();
    prop::sample::select(cold).prop_flat_map(|ids| {
        let layout = Layout::of(ids.0, ids.1).expect("only known methods are selected");
        let fields: Vec<_> = layout.fields.iter().map(|kind| field(*kind)).collect();
        fields.prop_map(move |fields| [zeros(ids, 0), fields.concat()].concat())
    })
}

proptest! {
    #[test]
    fn cold_methods_are_read_as_the_oracle_reads_them(payload in cold_payload()) {
        let (_, oracle) = parse_class(&payload[..]).expect("the payload follows the layout");
        let is_qos = payload.starts_with(&[0, 60, 0, 10]);
        let client = decode_client_method(&payload);
        let server = decode_server_method(&payload);
        prop_assert!(client.is_ok() || server.is_ok() || is_qos);
        if let Ok(method) = client {
            prop_assert_eq!(method, ClientMethod::Cold(oracle.clone()));
        }
        if let Ok(method) = server {
            prop_assert_eq!(method, ServerMethod::Cold(oracle.clone()));
        }
        let mut out = Vec::new();
        write_method(&mut out, 7, &oracle);
        let Ok(Split::Complete { frame, consumed }) = split_frame(&out, 0) else {
            panic!("a whole frame");
        };
        prop_assert_eq!((frame.channel, consumed), (7, out.len()));
        prop_assert_eq!(parse_class(frame.payload), Ok((&[][..], oracle)));
    }

    #[test]
    fn every_cut_of_a_cold_method_is_refused(payload in cold_payload()) {
        for len in 4..payload.len() {
            prop_assert!(decode_client_method(&payload[..len]).is_err());
            prop_assert!(decode_server_method(&payload[..len]).is_err());
        }
    }

    #[test]
    fn damaged_methods_never_panic(
        payload in cold_payload(),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let mut payload = payload;
        let index = at.index(payload.len());
        payload[index] = octet;
        crate::fuzz::method(&payload);
    }
}
