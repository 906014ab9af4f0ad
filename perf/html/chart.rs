//! Charts as SVG.

use std::fmt::Write as _;

use crate::lines::duration;
use crate::outcome::Quantiles;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 240.0;
/// Room for the labels of the axes.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 24.0;

/// One curve: its name, the letter of its colour, and its points.
pub(crate) struct Line {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

impl Line {
    pub(crate) fn new(name: &'static str, colour: &'static str, points: Vec<(f64, f64)>) -> Line {
        Line { name, colour, points }
    }
}

/// From values to the picture.
struct Frame {
    x_max: f64,
    y_max: f64,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + value / self.x_max * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.y_max * (HEIGHT - TOP - BOTTOM)
    }
}

/// Curves over the seconds of a run; nothing if no curve has a point.
pub(crate) fn time_chart(title: &str, lines: &[Line], show: impl Fn(f64) -> String) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let x_max = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let y_top = points().map(|(_, y)| *y).fold(0.0, f64::max);
    if x_max == 0.0 {
        return String::new();
    }
    let step = nice_step(y_top);
    let frame = Frame { x_max, y_max: (y_top / step).ceil().max(1.0) * step };
    let mut svg = open(title, lines.iter().map(|line| (line.name, line.colour)));
    let mut value = 0.0;
    while value <= frame.y_max * 1.001 {
        write_grid_line(&mut svg, frame.y(value), &show(value));
        value += step;
    }
    let seconds = nice_step(x_max);
    let mut second = seconds;
    while second <= x_max {
        let x = frame.x(second);
        let _ = write!(
            svg,
            "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{second} s</text>",
            HEIGHT - 6.0
        );
        second += seconds;
    }
    for line in lines {
        write_curve(
            &mut svg,
            line.colour,
            line.points.iter().map(|(x, y)| (frame.x(*x), frame.y(*y))),
        );
    }
    svg.push_str("</svg></figure>\n");
    svg
}

/// Percentiles on a logarithmic axis: the further right, the rarer; the latency is logarithmic too.
pub(crate) fn latency_chart(
    title: &str,
    kinds: &[(&'static str, &'static str, &Option<Quantiles>)],
) -> String {
    let shown: Vec<_> = kinds
        .iter()
        .filter_map(|(name, colour, quantiles)| Some((*name, *colour, quantiles.as_ref()?)))
        .collect();
    let values = || shown.iter().flat_map(|(_, _, quantiles)| quantiles.points()).map(|(_, us)| us);
    let Some(low) = values().map(|us| us.max(1.0)).min_by(f64::total_cmp) else {
        return String::new();
    };
    let high = values().fold(1.0, f64::max);
    let first_decade = low.log10().floor();
    let decades = (high.log10().ceil() - first_decade).max(1.0);
    let names = shown[0].2.points().map(|(name, _)| name);
    let frame = Frame { x_max: names.len() as f64 - 0.5, y_max: decades };
    let y = |us: f64| frame.y(us.max(1.0).log10() - first_decade);
    let mut svg = open(title, shown.iter().map(|(name, colour, _)| (*name, *colour)));
    for decade in 0..=decades as i32 {
        let us = 10f64.powf(first_decade + f64::from(decade));
        write_grid_line(&mut svg, y(us), &duration(us));
    }
    for (index, name) in names.iter().enumerate() {
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{name}</text>",
            frame.x(index as f64 + 0.25),
            HEIGHT - 6.0
        );
    }
    for (_, colour, quantiles) in &shown {
        let points = quantiles.points();
        let places = points.iter().enumerate();
        write_curve(
            &mut svg,
            colour,
            places.map(|(index, (_, us))| (frame.x(index as f64 + 0.25), y(*us))),
        );
    }
    svg.push_str("</svg></figure>\n");
    svg
}

fn open<'a>(title: &str, keys: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = format!("<figure><figcaption>{title}</figcaption>");
    for (name, colour) in keys {
        let _ = write!(text, "<span class=\"key k{colour}\">{name}</span>");
    }
    let _ =
        write!(text, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">");
    text
}

fn write_grid_line(svg: &mut String, y: f64, label: &str) {
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        WIDTH - RIGHT,
        LEFT - 8.0,
        y + 4.0
    );
}

fn write_curve(svg: &mut String, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
    let mut path = String::new();
    for (x, y) in points {
        let _ = write!(path, "{x:.1},{y:.1} ");
    }
    if !path.is_empty() {
        let _ = write!(svg, "<polyline class=\"curve {colour}\" points=\"{}\"/>", path.trim_end());
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides up to `top` into two to five parts.
fn nice_step(top: f64) -> f64 {
    if top <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf((top / 4.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| top / step <= 5.0).unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (top, step) in [(10.0, 2.0), (100.0, 20.0), (7.3, 2.0), (0.9, 0.2), (1.0e6, 2.0e5)] {
            assert!((nice_step(top) / step - 1.0).abs() < 1e-9, "{top}: {}", nice_step(top));
        }
    }

    #[test]
    fn a_chart_without_points_is_left_out() {
        assert_eq!(time_chart("t", &[Line::new("x", "a", Vec::new())], duration), "");
        assert_eq!(latency_chart("t", &[("x", "a", &None)]), "");
    }
}
