/**
 * The columns of a result, and how its rows are made from the texts that the server sent.
 */
import type { OperationResult } from "../../shared/model/api.ts";
import type { ResultField } from "../../shared/model/interactive.ts";
import { typeName } from "./type-names.ts";
import { parserOf } from "./row-values.ts";

export type Row = OperationResult["rows"][number];

export interface Column {
  readonly name: string;
  readonly dataTypeID: number;
}

export class RowShape {
  /** What the names add to a row, in bytes. */
  readonly nameBytes: number;
  readonly #columns: readonly Column[];
  readonly #names: readonly string[];
  readonly #parsers: readonly ((text: string) => unknown)[];

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.#names = columns.map(({ name }) => name);
    this.#parsers = columns.map(({ dataTypeID }) => parserOf(dataTypeID));
    this.nameBytes = this.#names.reduce((sum, name) => sum + name.length, 0);
  }

  get fields(): readonly ResultField[] {
    return this.#columns.map(({ name, dataTypeID }) => ({ name, type: typeName(dataTypeID) }));
  }

  row(texts: readonly (string | null)[]): Row {
    const row: Record<string, unknown> = {};
    for (let index = 0; index < texts.length; index += 1) {
      const text = texts[index] ?? null;
      const name = this.#names[index] ?? "";
      row[name] = text === null ? null : this.#parsers[index]?.(text);
    }
    return row;
  }
}
