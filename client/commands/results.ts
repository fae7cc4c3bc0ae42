/** What statements returned, for people. */
import type { TransactionResult } from "../sdk.ts";
import { cell, type Output } from "./output.ts";

/** A heading and a table for each operation, with empty lines between. */
export function showResults(output: Output, results: TransactionResult["results"]): void {
  results.forEach(({ rowCount, rows }, index) => {
    if (index > 0) output.line("");
    output.line(`operation ${index + 1}: ${rowCount} ${rowCount === 1 ? "row" : "rows"}`);
    showRows(output, rows);
  });
}

export function showRows(output: Output, rows: readonly Readonly<Record<string, unknown>>[]): void {
  const [first] = rows;
  if (first === undefined) return;
  const names = Object.keys(first);
  output.table(
    names,
    rows.map((row) => names.map((name) => cell(row[name]))),
  );
}
