//! Tests of PHP's lists and dictionaries, which are one type: an empty dictionary is written as
//! `[]`, and a list with a removed element as a dictionary with the indices as keys.

use super::*;

#[test]
fn takes_receivers_as_dictionaries_in_version_1() {
    check_v1(
        r#"
        > [7,"t",1,{"2":"4711","3":"12"},{"5":"12"}]
        = publish t [1] {} +me exclude [12, 4711] eligible Some([12])
        > [7,"t",1,{},{}]
        = publish t [1] {} +me
        > [7,"t",1,{"a":["x"],"b":null},{"0":{"x":"4711"}}]
        = publish t [1] {} +me exclude [] eligible Some([])
        "#,
    );
}

/// Checks that the options of a message of version 2 are read like others, in every codec.
#[track_caller]
fn same(found: &str, meant: &str) {
    for codec in CODECS {
        let request = |text: &str| {
            let mut session = Protocol::new(Dialect::V2(codec));
            for line in [r#"[1,"realm1",{"roles":{"publisher":[]}}]"#, text] {
                let bytes = Bytes::from(recode(line.as_bytes(), Codec::Json, codec).unwrap());
                let frame = match codec {
                    Codec::Json => Frame::Text(bytes),
                    Codec::MessagePack | Codec::Cbor => Frame::Binary(bytes),
                };
                match session.receive(frame) {
                    Input::Hello(_) => drop(session.welcome(&WELCOME)),
                    input => return input,
                }
            }
            panic!("{text}");
        };
        assert_eq!(request(found), request(meant), "{codec:?} {found}");
        assert!(!matches!(request(found), Input::Violation { .. }), "{found}");
    }
}

#[test]
fn takes_dictionaries_for_lists_in_version_2() {
    for key in ["exclude", "eligible"] {
        same(
            &format!(r#"[16,1,{{"{key}":{{"1":7,"4":8}}}},"t"]"#),
            &format!(r#"[16,1,{{"{key}":[7,8]}},"t"]"#),
        );
    }
    for key in ["exclude_authid", "exclude_authrole", "eligible_authid", "eligible_authrole"] {
        same(
            &format!(r#"[16,1,{{"{key}":{{"1":"a","x":"b"}}}},"t"]"#),
            &format!(r#"[16,1,{{"{key}":["a","b"]}},"t"]"#),
        );
        same(&format!(r#"[16,1,{{"{key}":{{}}}},"t"]"#), r#"[16,1,{},"t"]"#);
    }
    same(r#"[16,1,{},"t",{"2":"a","3":[1]}]"#, r#"[16,1,{},"t",["a",[1]]]"#);
    same(r#"[48,1,{},"p",{"1":{"b":1}}]"#, r#"[48,1,{},"p",[{"b":1}]]"#);
    same(r#"[70,1,{},{"1":1}]"#, "[70,1,{},[1]]");
}

#[test]
fn takes_empty_lists_for_dictionaries_in_version_2() {
    same(r#"[16,1,[],"t",[1],[]]"#, r#"[16,1,{},"t",[1],{}]"#);
    same(r#"[16,1,[],"t",{},[]]"#, r#"[16,1,{},"t"]"#);
    same(r#"[32,1,[],"t"]"#, r#"[32,1,{},"t"]"#);
    same(r#"[48,1,[],"p",[],[]]"#, r#"[48,1,{},"p"]"#);
    same("[49,1,[]]", "[49,1,{}]");
    same(r#"[64,1,[],"p"]"#, r#"[64,1,{},"p"]"#);
    same("[70,1,[],[1],[]]", "[70,1,{},[1]]");
    same(r#"[8,68,1,[],"e.x",[1],[]]"#, r#"[8,68,1,{},"e.x",[1]]"#);
    same(r#"[6,[],"wamp.close.normal"]"#, r#"[6,{},"wamp.close.normal"]"#);
}

#[test]
fn refuses_shapes_that_php_would_not_write() {
    check_open(
        r#"
        > [16,1,[1],"t"]
        = violation: PUBLISH.Options must be a dictionary, found a list
        < [3,{"message":"PUBLISH.Options must be a dictionary, found a list"},"wamp.error.protocol_violation"]
        "#,
    );
    check_open(
        r#"
        > [16,1,{},"t",{"text":"a"}]
        = violation: PUBLISH.Arguments must be a list, found a dictionary
        < [3,{"message":"PUBLISH.Arguments must be a list, found a dictionary"},"wamp.error.protocol_violation"]
        "#,
    );
    check_open(
        r#"
        > [16,1,{},"t",[],[1]]
        = violation: PUBLISH.ArgumentsKw must be a dictionary, found a list
        < [3,{"message":"PUBLISH.ArgumentsKw must be a dictionary, found a list"},"wamp.error.protocol_violation"]
        "#,
    );
}
