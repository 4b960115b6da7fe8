//! What is markup in a title, and what only looks like it.

use super::*;

fn of(text: &str) -> String {
    without(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_only_looks_like_a_tag_stays() {
    for text in [
        "Pressure A<B test kit",
        "List<String> in Java",
        "List<Object> and Map<Data, Label>",
        "Map<K, V>",
        "Option<A> and a<b>c",
        "std::vector<std::string>",
        "I <3 You",
        "a < b",
        "x<y>z",
        "a<b and c>d",
        "5<x<10",
        "<-- this way -->",
        "Coder's Mug </>",
        "Left <> Right /> End",
        "A<B x=1 test",
        "Cable <table lamp",
        "<<Brand>> Lamp",
        "<NA>",
        "End </String> of",
        "<!> Beware",
        "<?> Riddle",
        "<",
        "</3",
    ] {
        assert_eq!(of(text), text);
        assert_eq!(without(text).len(), text.len(), "{text}");
    }
}

#[test]
fn tags_go_whole_or_cut_off() {
    for (text, left) in [
        (
            "<b>Bold</b> Move<br/>Two<BR>Three<br />Four",
            "Bold Move Two Three Four",
        ),
        ("<span class=\"a-size-medium a-color-secondary\"", ""),
        ("Lamp <span class=\"a-size", "Lamp"),
        ("Lamp <span class='a b'>red</span", "Lamp red"),
        ("Lamp <a href=x.html target=_blank>here</a>", "Lamp here"),
        ("Lamp <img src=/a.png alt>", "Lamp"),
        ("Lamp <input disabled>", "Lamp"),
        ("Lamp<br", "Lamp"),
        ("Lamp <div ", "Lamp"),
        ("Lamp </", "Lamp"),
        ("Lamp</spa", "Lamp"),
        ("Lamp <p>Red<p>Blue", "Lamp Red Blue"),
        ("Lamp<p>Red", "Lamp Red"),
        ("<Strong>Lamp</Strong><Br/>Red", "Lamp Red"),
        ("bold<b>Lamp</b>", "bold Lamp"),
        ("<a-price data-x=\"1\">Lamp</a>", "Lamp"),
        ("<o:p></o:p>Lamp", "Lamp"),
        ("<!-- hidden --> Lamp <!-- cut off", "Lamp"),
        ("<!DOCTYPE html><html><title>Lamp</title></html>", "Lamp"),
        ("<?xml version=\"1.0\"?>Lamp", "Lamp"),
        ("<![CDATA[Lamp]]>", "Lamp"),
        ("H<sub>2</sub>O Lamp<sup>2</sup>", "H2O Lamp2"),
        ("Magazines\" /> Lamp", "Lamp"),
        ("<a title=\"a > b\">Lamp</a>", "Lamp"),
        ("2<3 <b>Lamp</b> 3>2", "2<3 Lamp 3>2"),
    ] {
        assert_eq!(of(text), left, "{text}");
    }
}

#[test]
fn programs_go_with_their_tags_and_titles_about_tags_do_not() {
    for (text, left) in [
        ("<script>var a = 1;</script>Lamp", "Lamp"),
        ("<SCRIPT type=\"text/x\">if (a</b) c</Script >Lamp", "Lamp"),
        ("<style type=\"text/css\">.a { b: c }", ""),
        ("The <style> Tag Explained", "The Tag Explained"),
    ] {
        assert_eq!(of(text), left, "{text}");
    }
}

#[test]
fn many_signs_take_no_time() {
    let start = std::time::Instant::now();
    for piece in [
        "<b ",
        "<b a=\"",
        "<b a='\"",
        "</",
        "<!--",
        "<script>",
        "<script>;</",
        "<",
        "\"/>",
        "<span x",
    ] {
        let _ = without(&piece.repeat(60_000 / piece.len()));
    }
    assert!(start.elapsed().as_secs() < 20);
}
