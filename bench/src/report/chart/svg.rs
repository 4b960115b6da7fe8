//! The few SVG elements the charts are made of.

use crate::report::input::Family;
use std::fmt::Write;

/// The width of every drawing in its own units; narrow, so that text stays legible on a phone.
pub const WIDTH: f64 = 460.0;

/// The least distance between two lines of text.
pub const LINE: f64 = 15.0;

/// What is left below a drawing for the values and the name of its axis.
pub const BELOW: f64 = 40.0;

/// A drawing under construction.
#[derive(Debug)]
pub struct Svg {
    body: String,
    height: f64,
    title: String,
}

impl Svg {
    /// An empty drawing of a height, with a title for those who cannot see it.
    pub fn new(height: f64, title: &str) -> Self {
        Self {
            body: String::new(),
            height,
            title: title.to_owned(),
        }
    }

    /// Appends raw elements; writing to a `String` cannot fail.
    fn push(&mut self, element: std::fmt::Arguments) {
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// A filled rectangle.
    pub fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64)) {
        let ((x, y), (width, height)) = (at, size);
        self.push(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        ));
    }

    /// A dot that shows `hint` under the pointer.
    pub fn dot(&mut self, class: &str, at: (f64, f64), hint: &str) {
        let (x, y) = at;
        let hint = escape(hint);
        self.push(format_args!(
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="4"><title>{hint}</title></circle>"#
        ));
    }

    /// A line through points.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect::<Vec<_>>()
            .join(" ");
        self.push(format_args!(r#"<polyline class="{class}" points="{points}"/>"#));
    }

    /// A text; `anchor` is `start`, `middle` or `end`.
    pub fn text(&mut self, class: &str, at: (f64, f64), anchor: &str, text: &str) {
        let ((x, y), text) = (at, escape(text));
        self.push(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// Labels in the right margin, moved apart where they would overlap, each tied to its point.
    pub fn margin_labels(&mut self, x: f64, labels: &[(String, (f64, f64), &str)]) {
        let mut order: Vec<&(String, (f64, f64), &str)> = labels.iter().collect();
        order.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let mut places: Vec<f64> = Vec::with_capacity(order.len());
        for (_, (_, y), _) in &order {
            places.push(places.last().map_or(*y, |last: &f64| y.max(last + LINE)));
        }
        // Pushed down past the end, the last labels push the others back up.
        let mut limit = self.height - BELOW;
        for place in places.iter_mut().rev() {
            *place = place.min(limit);
            limit = *place - LINE;
        }
        for ((text, point, class), y) in order.into_iter().zip(places) {
            self.line("leader", *point, (x - 3.0, y));
            self.text(&format!("label {class}"), (x, y + 4.0), "start", text);
        }
    }

    /// The finished element.
    pub fn finish(self) -> String {
        let Self { body, height, title } = self;
        let title = escape(&title);
        format!(
            "<svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">\n{body}</svg>"
        )
    }
}

/// The style class that gives a family its colour.
pub fn class(family: Family) -> &'static str {
    match family {
        Family::Floor => "floor",
        Family::Probe => "probe",
        Family::Sequence => "sequence",
        Family::TextTransfer => "text-transfer",
        Family::SemanticIds => "semantic-ids",
        Family::Untuned => "untuned",
        Family::Single => "single",
        Family::Joint => "joint",
        Family::NaiveMerging => "naive",
        Family::Woven => "woven",
        Family::Control => "control",
        Family::Fusion => "fusion",
        Family::Member => "member",
        Family::Outside => "outside",
    }
}

/// Text made safe inside an element or an attribute.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Text cut to a number of characters.
pub fn shorten(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars()
        .take(longest.saturating_sub(1))
        .chain(['…'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        assert_eq!(escape("a<b>\"&"), "a&lt;b&gt;&quot;&amp;");
    }
}
