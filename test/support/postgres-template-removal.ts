/** After the last test: what postgres-template.ts made. */
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { assert } from "../../shared/model/assert.ts";
import { removeDataDirectory, TEMPLATE_VARIABLE } from "../../demo/postgres/data-directory.ts";

export default function removeTemplate(): void {
  const template = process.env[TEMPLATE_VARIABLE];
  assert(template !== undefined, "the template was made before the first test");
  removeDataDirectory(template);
  rmSync(dirname(template), { recursive: true });
}
