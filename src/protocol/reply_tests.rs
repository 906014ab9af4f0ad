use super::*;

#[test]
fn long_texts_are_cut_to_252_octets_and_dots() {
    let error = ProtocolError::new(ReplyCode::NotFound, "x".repeat(300));
    assert_eq!(error.text.len(), 255);
    assert_eq!(error.text, format!("NOT_FOUND - {}...", "x".repeat(240)));
}

#[test]
fn a_text_of_255_octets_stays_whole() {
    let error = ProtocolError::new(ReplyCode::NotFound, "x".repeat(243));
    assert_eq!(error.text, format!("NOT_FOUND - {}", "x".repeat(243)));
}

#[test]
fn a_cut_never_splits_a_character() {
    for offset in 0..4 {
        let explanation = "a".repeat(offset) + &"\u{1F600}".repeat(80);
        let error = ProtocolError::new(ReplyCode::NotFound, explanation);
        assert!((252..=255).contains(&error.text.len()));
        assert!(error.text.ends_with("\u{1F600}..."));
    }
}

#[test]
fn an_empty_explanation_leaves_the_name() {
    assert_eq!(ProtocolError::new(ReplyCode::InternalError, "").text, "INTERNAL_ERROR");
}

#[test]
fn codes_have_their_names_and_severities() {
    let soft = [311, 403, 404, 405, 406];
    for code in ReplyCode::ALL {
        assert_eq!(ReplyCode::from_code(code.code()), Some(code));
        let is_hard = code.severity() == Severity::Connection;
        assert_eq!(
            is_hard,
            ![200, 312, 313].contains(&code.code()) && !soft.contains(&code.code())
        );
    }
    assert_eq!(ReplyCode::from_code(999), None);
    assert_eq!(ReplyCode::PreconditionFailed.name(), "PRECONDITION_FAILED");
}

#[test]
fn closes_carry_code_text_and_method() {
    let error = ProtocolError::new(ReplyCode::NotFound, "no queue 'q' in vhost '/'").of(50, 20);
    let AMQPClass::Channel(channel::AMQPMethod::Close(close)) = error.channel_close() else {
        panic!("a channel.close");
    };
    assert_eq!(close.reply_code, 404);
    assert_eq!(close.reply_text.as_str(), "NOT_FOUND - no queue 'q' in vhost '/'");
    assert_eq!((close.class_id, close.method_id), (50, 20));
    let AMQPClass::Connection(connection::AMQPMethod::Close(close)) = error.connection_close()
    else {
        panic!("a connection.close");
    };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (404, 50, 20));
}
