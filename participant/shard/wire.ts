/**
 * The part of `pg`'s connection that query objects write to (pg-cursor and pg-query-stream live on the same part), with
 * the types that @types/pg has only loosely.
 */
import type { Duplex } from "node:stream";

export interface Field {
  readonly name: string;
  readonly dataTypeID: number;
}

export interface WireConnection {
  readonly stream: Duplex;
  parse(message: { readonly name: string; readonly text: string }): void;
  bind(message: { readonly statement: string; readonly values: readonly (string | null)[] }): void;
  describe(message: { readonly type: "P" }): void;
  execute(): void;
  close(message: { readonly type: "S"; readonly name: string }): void;
  sync(): void;
  sendCopyFail(message: string): void;
}
