/* Sorts a table[data-sort] by the column whose heading is pressed. A heading with data-first
   ("asc" or "desc": the first direction) becomes a button; a cell's key is its data-v, or its text.
   Cells without a value stay last. Without this script the table is as it was ranked. */
(function () {
"use strict";
var said = document.getElementById("said");
function key(row, column) {
  var cell = row.cells[column];
  var value = cell.hasAttribute("data-v") ? cell.getAttribute("data-v") : cell.textContent.trim();
  var number = Number(value);
  return value === "" || value === "–" ? null : isNaN(number) ? value : number;
}
function order(a, b) {
  return typeof a === "number" && typeof b === "number"
    ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
}
function sort(table, heading) {
  var now = heading.getAttribute("aria-sort");
  var first = heading.getAttribute("data-first") === "asc" ? "ascending" : "descending";
  var other = first === "ascending" ? "descending" : "ascending";
  var next = now === first ? other : first;
  table.querySelectorAll("th[aria-sort]").forEach(function (each) {
    each.removeAttribute("aria-sort");
  });
  heading.setAttribute("aria-sort", next);
  var body = table.tBodies[0], column = heading.cellIndex, sign = next === "ascending" ? 1 : -1;
  Array.from(body.rows).map(function (row, index) {
    return {row: row, index: index, key: key(row, column)};
  }).sort(function (a, b) {
    if (a.key === null || b.key === null) {
      return (a.key === null) - (b.key === null) || a.index - b.index;
    }
    return sign * order(a.key, b.key) || a.index - b.index;
  }).forEach(function (each) { body.appendChild(each.row); });
  said.textContent = "Sorted by " + heading.textContent.trim() + ", " + next + ".";
}
document.querySelectorAll("table[data-sort]").forEach(function (table) {
  table.querySelectorAll("thead th[data-first]").forEach(function (heading) {
    var button = document.createElement("button");
    button.type = "button";
    while (heading.firstChild) { button.appendChild(heading.firstChild); }
    heading.appendChild(button);
    button.addEventListener("click", function () { sort(table, heading); });
  });
});
}());
