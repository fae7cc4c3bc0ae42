/** What is printed: data to standard output, talk to standard error; tables for people, one JSON document for programs. */
import { styleText } from "node:util";
import Table from "cli-table3";

export interface Streams {
  readonly out: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly err: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

type Colour = "green" | "red" | "yellow" | "dim" | "bold";

const NOTHING = {
  ...{ top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "" },
  ...{ "bottom-left": "", "bottom-right": "", left: "", "left-mid": "", mid: "", "mid-mid": "" },
  ...{ right: "", "right-mid": "", middle: "  " },
};

export class Output {
  readonly #streams: Streams;
  readonly #env: NodeJS.ProcessEnv;

  constructor(streams: Streams, env: NodeJS.ProcessEnv) {
    this.#streams = streams;
    this.#env = env;
  }

  get isTerminal(): boolean {
    return this.#streams.out.isTTY === true;
  }

  line(text: string): void {
    this.#streams.out.write(`${text}\n`);
  }

  json(value: unknown): void {
    this.line(JSON.stringify(value, undefined, this.isTerminal ? 2 : undefined));
  }

  talk(text: string): void {
    this.#streams.err.write(`${text}\n`);
  }

  /** Columns under a head; nothing else where there are no rows. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    this.#columns([head.map((name) => this.paint("bold", name.toUpperCase())), ...rows]);
  }

  /** Names and values. */
  facts(rows: readonly (readonly [string, string])[]): void {
    this.#columns(rows.map(([name, value]) => [this.paint("dim", name), value]));
  }

  paint(colour: Colour, text: string): string {
    return isColoured(this.#streams.out, this.#env) ? coloured(colour, text) : text;
  }

  /** For standard error. */
  paintTalk(colour: Colour, text: string): string {
    return isColoured(this.#streams.err, this.#env) ? coloured(colour, text) : text;
  }

  #columns(rows: readonly (readonly string[])[]): void {
    const style = { head: [], border: [], "padding-left": 0, "padding-right": 0 };
    const table = new Table({ chars: NOTHING, style });
    for (const row of rows) table.push([...row]);
    for (const line of table.toString().split("\n")) this.line(line.trimEnd());
  }
}

function isColoured(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  const { NO_COLOR: no = "", TERM: terminal } = env;
  return stream.isTTY === true && no === "" && terminal !== "dumb";
}

/** Our own judgement of the stream counts, not that of the standard library about its own. */
function coloured(colour: Colour, text: string): string {
  return styleText(colour, text, { validateStream: false });
}

/** One cell of a result: what SQL gives, in one line. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
