//! Tables line up.

use super::layout;

#[test]
fn table_columns_line_up_without_trailing_space() {
    let rows = [["NAME", "SIZE"], ["a", "1"], ["longer", "22"]];
    let rows = rows.map(|row| row.map(str::to_owned));
    assert_eq!(
        layout(&rows),
        ["NAME     SIZE", "a        1", "longer   22"]
    );
}
