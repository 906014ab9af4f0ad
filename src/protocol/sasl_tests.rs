use super::*;

#[test]
fn plain_wants_exactly_two_parts_behind_the_first_nul() {
    let credentials = Credentials { user: b"guest", password: b"secret" };
    assert_eq!(parse_plain(b"\0guest\0secret"), Ok(credentials));
    assert_eq!(parse_plain(b"\0\0"), Ok(Credentials { user: b"", password: b"" }));
    let malformed: [&[u8]; 5] =
        [b"", b"guest", b"\0guest", b"authzid\0guest\0secret", b"\0a\0b\0c"];
    for response in malformed {
        assert_eq!(parse_plain(response), Err(SaslError::Malformed));
    }
}

#[test]
fn amqplain_takes_both_string_types() {
    let credentials = Credentials { user: b"u", password: &[0xFF] };
    let mut response = Vec::new();
    write_amqplain(&mut response, &credentials);
    assert_eq!(parse_amqplain(&response), Ok(credentials));
    let as_byte_array = b"\x05LOGINx\0\0\0\x01u\x08PASSWORDx\0\0\0\x01\xFF";
    assert_eq!(parse_amqplain(as_byte_array), Ok(credentials));
}

#[test]
fn amqplain_errors_are_told_apart() {
    let login = b"\x05LOGINS\0\0\0\x01u".to_vec();
    assert_eq!(parse_amqplain(&login), Err(SaslError::MissingField));
    assert_eq!(parse_amqplain(b""), Err(SaslError::MissingField));
    let number = [&login[..], b"\x08PASSWORDB\x01"].concat();
    assert_eq!(parse_amqplain(&number), Err(SaslError::NotAString));
    assert_eq!(parse_amqplain(&login[..login.len() - 1]), Err(SaslError::Malformed));
}

#[test]
fn plain_is_read_as_written() {
    let credentials = Credentials { user: b"u", password: b"p" };
    let mut response = Vec::new();
    write_plain(&mut response, &credentials);
    assert_eq!(parse_plain(&response), Ok(credentials));
}

#[test]
fn debug_hides_the_password() {
    let credentials = Credentials { user: b"u", password: b"hunter2" };
    assert!(!format!("{credentials:?}").contains("hunter2"));
}
