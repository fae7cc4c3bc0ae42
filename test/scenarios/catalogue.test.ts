/** CATALOGUE.md says what holds each row of the regression catalogue: here it is checked to be so. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
const OWN_TESTS = "test/scenarios/catalogue";
const ROWS = 42;
const HELD_AT_LEAST = 30;

interface Reference {
  readonly file: string;
  /** Undefined for a transcript. */
  readonly title: string | undefined;
}

interface Row {
  readonly number: number;
  readonly heldBy: string;
  readonly references: readonly Reference[];
}

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

function rows(): readonly Row[] {
  const lines = read("test/scenarios/CATALOGUE.md").split("\n");
  return lines.flatMap((line) => {
    const [, number, , , heldBy = ""] = line.split("|").map((cell) => cell.trim());
    if (!/^\d+$/.test(number ?? "")) return [];
    return [{ number: Number(number), heldBy, references: referencesIn(heldBy) }];
  });
}

function referencesIn(heldBy: string): readonly Reference[] {
  return heldBy.split("<br>").flatMap((part) => {
    const [, file, title] = /^`([^`]+)`(?: “(.+)”)?$/.exec(part) ?? [];
    return file === undefined ? [] : [{ file, title }];
  });
}

/** A title stands alone in its line, or behind the call that it is the title of; as the key of a contract's case too. */
function declares(source: string, title: string): boolean {
  return source.split("\n").some((line) => {
    const [before, after, ...more] = line.split(`"${title}"`);
    return (
      more.length === 0 &&
      after !== undefined &&
      /^\s*(.*\()?$/.test(before ?? "") &&
      /^[,:]/.test(after)
    );
  });
}

const label = ({ file, title }: Reference): string =>
  title === undefined ? file : `${file}: ${title}`;

test("the catalogue has all its rows, in order", () => {
  const numbers = rows().map(({ number }) => number);
  expect(numbers).toEqual(Array.from({ length: ROWS }, (_, index) => index + 1));
});

test("each row is held by something, or says why it need not be", () => {
  const silent = rows().filter(
    ({ references, heldBy }) =>
      references.length === 0 && !/^Cannot happen here, because .+\.$/.test(heldBy),
  );
  expect(silent.map(({ number, heldBy }) => `${number}: ${heldBy}`)).toEqual([]);
});

test("most rows are held by tests", () => {
  const held = rows().filter(({ references }) =>
    references.some(({ title }) => title !== undefined),
  );
  expect(held.length).toBeGreaterThanOrEqual(HELD_AT_LEAST);
});

test("every test and transcript that the catalogue names exists", () => {
  const references = rows().flatMap((row) => row.references);
  const missing = references.filter(
    ({ file, title }) =>
      !existsSync(join(ROOT, file)) || (title !== undefined && !declares(read(file), title)),
  );
  expect(missing.map(label)).toEqual([]);
});

test("a test that bears a row's number is named in that row, and in no other", () => {
  const numbered = readdirSync(join(ROOT, OWN_TESTS)).flatMap((name) => {
    const file = `${OWN_TESTS}/${name}`;
    const titles = [...read(file).matchAll(/^test\("(#\d+ .+)", /gm)];
    return titles.map(([, title = ""]) => `${/^#\d+/.exec(title)?.[0] ?? ""} ${file}: ${title}`);
  });
  const named = rows().flatMap(({ number, references }) =>
    references
      .filter(({ file }) => file.startsWith(`${OWN_TESTS}/`))
      .map((reference) => `#${number} ${label(reference)}`),
  );
  expect(named.sort()).toEqual(numbered.sort());
});
