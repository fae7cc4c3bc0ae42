/**
 * Transcripts: what the core does when it is told to, for people to read. A file is prose (`# …`), commands (`> …`), and
 * below each command what the nodes did, as far as the next empty line. The last part is never written by hand.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Interpreter } from "./commands.ts";

const FOLDER = join(import.meta.dirname, "..");

export function transcriptNames(): readonly string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith(".txt"))
    .sort();
}

export const transcriptPath = (name: string): string => join(FOLDER, name);

/** What the file says, and what it would if the core were asked once more. */
export function performed(name: string): { readonly is: string; readonly shouldBe: string } {
  const file = transcriptPath(name);
  const is = readFileSync(file, "utf8");
  const interpreter = new Interpreter();
  const parts: string[] = [];
  for (const [index, line] of is.split("\n").entries()) {
    if (line.startsWith("#")) parts.push(line);
    if (line === "" && parts.at(-1) !== "") parts.push("");
    if (!line.startsWith("> ")) continue;
    try {
      parts.push(line, ...interpreter.perform(line.slice(2)));
    } catch (error) {
      throw new Error(`${file}:${index + 1}: ${line}`, { cause: error });
    }
  }
  return { is, shouldBe: `${parts.join("\n").trimEnd()}\n` };
}
