/**
 * The part of `pg`'s connection that query objects write to (pg-cursor and pg-query-stream live on the same part), with
 * the types that @types/pg has only loosely.
 *
 * Messages are gathered into one buffer, because every write of its own is a system call, and a list of small buffers is
 * not much better: measured, a branch costs this process about a sixth less CPU when each batch is one buffer.
 */
import type { Duplex } from "node:stream";
import pg from "pg";

export interface Field {
  readonly name: string;
  readonly dataTypeID: number;
}

export interface WireConnection {
  parse(message: { readonly name: string; readonly text: string }): void;
  bind(message: { readonly statement: string; readonly values: readonly (string | null)[] }): void;
  describe(message: { readonly type: "P" }): void;
  execute(): void;
  close(message: { readonly type: "S"; readonly name: string }): void;
  sync(): void;
  sendCopyFail(message: string): void;
}

let gathered: Buffer[] = [];
const sink = {
  writable: true,
  write: (bytes: Buffer): boolean => {
    gathered.push(bytes);
    return true;
  },
};
const gatherer = new pg.Connection({
  stream: () => sink as unknown as Duplex,
}) as unknown as WireConnection;

/** What `speak` says to a connection, as bytes. */
export function gather(speak: (wire: WireConnection) => void): Buffer {
  gathered = [];
  speak(gatherer);
  return Buffer.concat(gathered);
}
