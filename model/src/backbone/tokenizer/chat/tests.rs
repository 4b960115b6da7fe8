#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

const MESSAGES: [(&str, &str); 2] = [("user", "films?"), ("assistant", " Solaris ")];

fn template(source: &str) -> Template {
    Template::new(source.into(), Path::new("chat_template.jinja"))
}

/// What is known of a tokenizer with ChatML's tokens.
fn known() -> (Special, Arc<Control>) {
    let tokenizer = crate::backbone::Tokenizer::train_bpe(["a text"], 300).unwrap();
    let sources = "tokenizer_config.json and special_tokens_map.json".into();
    let special = Special {
        sources,
        ..Special::default()
    };
    (special, tokenizer.control)
}

fn render(source: &str, messages: &Messages) -> Result<String, String> {
    let (special, control) = known();
    template(source)
        .render(messages, true, &special, &control)
        .map(Mixed::into_text)
}

fn turn(source: &str) -> Result<Turn, String> {
    let (special, control) = known();
    template(source).turn(&MESSAGES, &special, &control)
}

fn parts(source: &str) -> [String; 3] {
    let turn = turn(source).unwrap();
    [turn.prompt.into_text(), turn.lead, turn.end]
}

#[test]
fn an_answer_begins_where_the_prompt_without_it_ends() {
    assert_eq!(
        parts(
            CHATML
                .replace("message['content']", "message['content'] | trim")
                .as_str()
        ),
        [
            "<|im_start|>user\nfilms?<|im_end|>\n<|im_start|>assistant\n",
            "",
            "<|im_end|>"
        ]
    );
    // A blank that belongs to the answer's first token.
    let inst = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content.strip() }} \
                </s>{% endif %}{% endfor %}";
    assert_eq!(parts(inst), ["[INST] films? [/INST]", " ", " </s>"]);
}

#[test]
fn a_template_whose_prompt_is_no_prefix_is_refused_with_both_texts() {
    let counts = "{{ messages | length }} turns {% for m in messages %}{{ m.content }}{% endfor %}";
    let error = turn(counts).unwrap_err();
    for part in ["\"1 turns", "\"2 turns", "where the loss begins"] {
        assert!(error.contains(part), "{error}");
    }
    let heedless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    let error = turn(heedless).unwrap_err();
    assert!(
        error.contains("assistant:") && error.contains("add_generation_prompt"),
        "{error}"
    );
}

#[test]
fn what_a_template_raises_and_cannot_do_is_said() {
    let raises = "{% if messages[0]['role'] == 'user' %}{{ raise_exception('no users here') }}{% endif %}";
    let error = turn(raises).unwrap_err();
    assert!(
        error.contains("no users here") && !error.contains("system turn"),
        "{error}"
    );
    let error = render(
        "{{ raise_exception('System role not supported') }}",
        &[("system", "be brief")],
    )
    .unwrap_err();
    assert!(
        error.contains("System role not supported") && error.contains("wording"),
        "{error}"
    );
    assert!(
        turn("{% for %}")
            .unwrap_err()
            .contains("not one that can be rendered")
    );
    assert!(turn("{{ strftime_now('%Q') }}").unwrap_err().contains("%Q"));
    let (special, control) = known();
    assert!(template("x").turn(&[], &special, &control).is_err());
}

#[test]
fn errors_name_the_line_and_no_remedy_for_another_mistake() {
    let told = [("system", "be brief"), ("user", "films?")];
    for (source, part) in [
        ("a\nb {{ messages | frobnicate }}", "frobnicate"),
        ("a\n{{ strftime_now('%Q') }}", "%Q"),
        ("a\n{{ {'a': 1} | tojson(intend=2) }}", "intend"),
        ("a\n{{ messages[0].content.frobnicate() }}", "frobnicate"),
        ("{{ '%s' % 'a' }}\n{{ '%s %s' % 'b' }}", "not enough arguments"),
        ("{{ '%s'\n % 'a' }}{{ messages[0].content % 'b' }}", "operator"),
        (
            "a\n{% if messages[1].role == 'user' %}{{ raise_exception('no users here') }}{% endif %}",
            "no users here",
        ),
        ("a\n{{ 1 + }}", "not one that can be rendered"),
    ] {
        let error = render(source, &told).unwrap_err();
        assert!(error.contains(part) && error.contains("line 2"), "{error}");
        assert!(
            !error.contains("wording") && !error.contains("name no"),
            "{error}"
        );
    }
    // This one takes system turns after the first alone, in its own words.
    let picky =
        "{% if messages[0].role == 'system' %}{{ raise_exception('begin with the user') }}{% endif %}ok";
    assert!(
        render(picky, &told)
            .unwrap_err()
            .contains("a wording that has no system turn")
    );
    assert_eq!(render(picky, &told[1..]).unwrap(), "ok");
}

#[test]
fn a_token_that_nobody_names_is_asked_for_in_vain_and_may_be_asked_about() {
    let told = [("user", "films?")];
    for source in [
        "{{ bos_token }}x",
        "{{ bos_token ~ 'x' }}",
        "{% set begin = bos_token %}\n{{ begin }}",
        "{{ bos_token + messages[0].content }}",
        "{{ (bos_token or bos_token) | string }}",
    ] {
        let error = render(source, &told).unwrap_err();
        for part in ["bos_token", "tokenizer_config.json", "special_tokens_map.json"] {
            assert!(error.contains(part), "{source}: {error}");
        }
    }
    for source in [
        "{% if bos_token %}{{ bos_token }}{% endif %}x",
        "{% if bos_token is defined %}{{ bos_token }}{% endif %}x",
        "{% if bos_token is not undefined %}{{ bos_token }}{% endif %}x",
        "{{ bos_token | default('') }}{{ eos_token | d('') }}x",
        "{{ bos_token or '' }}x",
        "{% if false %}{{ eos_token }}{% endif %}x",
        "{{ messages[0].name }}{{ add_bos_token }}x",
    ] {
        assert_eq!(render(source, &told).unwrap(), "x", "{source}");
    }
    // Files that say there is none are heeded, as in transformers.
    let (mut special, control) = known();
    special.none.insert("bos_token".into());
    let text = template("{{ bos_token }}x").render(&told, true, &special, &control);
    assert_eq!(text.unwrap().text(), "x");
}

/// As the templates of the five families, and those made of them, use Jinja.
#[test]
fn filters_tests_and_statements_do_what_jinja_does() {
    let told = [
        ("system", " Be brief. "),
        ("user", "films?"),
        ("assistant", "Solaris"),
    ];
    for (source, expected) in [
        (
            "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(',') }}",
            "films?",
        ),
        (
            "{{ messages | rejectattr('role', 'equalto', 'system') | list | length }}",
            "2",
        ),
        (
            "{{ messages[0].content | trim }}{{ messages[-1]['content'] | first | upper }}",
            "Be brief.S",
        ),
        (
            "{% for name, value in messages[1].items() %}{{ name }}={{ value }};{% endfor %}",
            "role=user;content=films?;",
        ),
        (
            "{% for name, value in messages[1] | items %}{{ name }};{% endfor %}",
            "role;content;",
        ),
        (
            "{{ messages[1] | tojson }}",
            r#"{"role": "user", "content": "films?"}"#,
        ),
        ("{{ 'é<' | tojson(ensure_ascii=False) }}", "\"é<\""),
        (
            "{{ [{'b': 1, 'a': 'ü'}] | tojson(ensure_ascii=False, indent=1) }}",
            "[\n {\n  \"b\": 1,\n  \"a\": \"ü\"\n }\n]",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "3",
        ),
        (
            "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% break %}{% endfor %}",
            "user",
        ),
        (
            "{% for m in messages %}{{ loop.previtem.role if loop.previtem }}|{% endfor %}",
            "|system|user|",
        ),
        (
            "{% macro say(m) %}<{{ m.role }}>{% endmacro %}{% for m in messages[1:] %}{{ say(m) }}{% endfor %}",
            "<user><assistant>",
        ),
        ("{{ strftime_now('%d %B %Y') }}", "26 July 2024"),
        (
            "{{ 'a' if messages[1].content is string and messages is iterable and messages[1] is mapping }}",
            "a",
        ),
        (
            "{{ messages[1].content.split('m')[0].replace('f', 'F').rstrip('x') }}",
            "Fil",
        ),
        (
            "{{ 'user' in messages[1].values() }}{{ messages[1].get('name', 'none') }}",
            "Truenone",
        ),
        (
            "{{ '%s and %d' | format('a', 2) }}{{ 'a\nb' | indent(2) }}",
            "a and 2a\n  b",
        ),
        (
            "{{ tools is none and documents is none }}{{ enable_thinking is defined and not enable_thinking }}",
            "TrueTrue",
        ),
    ] {
        assert_eq!(render(source, &told).unwrap(), expected, "{source}");
    }
}

#[test]
fn contents_are_disguised_from_the_template_where_they_spell_control_tokens_and_only_there() {
    let source =
        "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content | trim }}<|im_end|>{% endfor %}";
    let data = |content: &str| {
        let (special, control) = known();
        let text = template(source)
            .render(&[("user", content)], true, &special, &control)
            .unwrap();
        assert_eq!(
            text.text(),
            format!("<|im_start|>user {}<|im_end|>", content.trim())
        );
        let data: Vec<String> = text
            .parts()
            .filter(|(_, is_data)| *is_data)
            .map(|(part, _)| part.into())
            .collect();
        data
    };
    assert_eq!(data(" a<|im_end|> b "), ["<|im_end|>"]);
    assert_eq!(
        data("<|im_end|><|im_end|>x<|endoftext|>"),
        ["<|im_end|><|im_end|>", "<|endoftext|>"]
    );
    // Neither in another case nor in part is anything spelt, and no template here puts it together.
    for harmless in [
        "a title < another",
        "<|IM_END|>",
        "a <|im_",
        "|> b",
        "im_end",
        "<",
        "",
        " ",
        "\u{f0000}<|x|>",
    ] {
        assert!(data(harmless).is_empty(), "{harmless}");
    }
    let (special, control) = known();
    let chat = |source: &str, content: &str| {
        let text = template(source)
            .render(&[("user", content)], true, &special, &control)
            .unwrap();
        (control.is_spelt_by_data(&text), text.into_text())
    };
    assert_eq!(
        chat("{{ messages[0].content }}end|>", "<|im_"),
        (true, "<|im_end|>".into())
    );
    // What a template takes out of the middle joins nothing either.
    assert_eq!(
        chat(
            "{{ messages[0].content.replace('/think', '') }}",
            "Oak<|im_/thinkend|>chair"
        ),
        (true, "Oak<|im_end|>chair".into())
    );
    assert_eq!(
        chat("<|im{{ messages[0].content }}", " _end|>"),
        (false, "<|im _end|>".into())
    );
    assert_eq!(
        chat("<|im{{ messages[0].content | trim }}", " _end|>"),
        (true, "<|im_end|>".into())
    );
    assert_eq!(
        chat("<|{{ messages[0].content }}_end|>", "im"),
        (true, "<|im_end|>".into())
    );
    // What a template would have made a token by changing the case stays as it was.
    assert_eq!(
        chat("{{ messages[0].content | lower }}", "A<|IM_END|>"),
        (false, "a<|IM_END|>".into())
    );
}

#[test]
fn marks_of_generation_leave_the_text_as_it_is() {
    let marked = "{% for m in messages %}{{ m.role }}|{% generation %}{{ m.content }}{%- endgeneration -%} {% endfor %}";
    let plain = "{% for m in messages %}{{ m.role }}|{{ m.content }}{% endfor %}";
    let text = |source: &str| render(source, &MESSAGES).unwrap();
    assert_eq!(text(marked), text(plain));
}
