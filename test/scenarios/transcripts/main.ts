/**
 * `npm run scenarios` compares the transcripts with what the core does; `-- --rewrite` makes them say that. Names of files, or
 * parts of names, choose among them.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { performed, transcriptNames, transcriptPath } from "./transcript.ts";

const { values, positionals } = parseArgs({
  options: { rewrite: { type: "boolean", default: false } },
  allowPositionals: true,
});

function review(name: string): boolean {
  const { is, shouldBe } = performed(name);
  if (is === shouldBe) return true;
  console.log(`${name} ${values.rewrite ? "is rewritten" : "is out of date"}`);
  if (values.rewrite) writeFileSync(transcriptPath(name), shouldBe);
  return values.rewrite;
}

for (const name of transcriptNames()) {
  if (positionals.length > 0 && !positionals.some((part) => name.includes(part))) continue;
  try {
    if (!review(name)) process.exitCode = 1;
  } catch (error) {
    console.log(error);
    process.exitCode = 1;
  }
}
