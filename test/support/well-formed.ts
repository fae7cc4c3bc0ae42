/**
 * Reads a page that is to be well-formed: elements closed in order, attributes quoted and not repeated, nothing but the five entities and
 * numbers. Throws, with the place, at the first thing that is not.
 */
export interface PageElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: (PageElement | string)[];
}

const TOKEN =
  /<!DOCTYPE html>\s*|<(\/?)([a-z][a-z0-9]*)((?: [a-z][a-zA-Z0-9:-]*="[^"<]*")*)(\/?)>|[^<]+/y;
const ATTRIBUTE = / ([a-zA-Z0-9:-]+)="([^"]*)"/g;
const ENTITIES = new Map(
  [...["amp&", "lt<", "gt>", 'quot"', "#39'"]].map((it) => [it.slice(0, -1), it.slice(-1)]),
);

export function readPage(page: string): PageElement {
  const root: PageElement = { name: "", attributes: new Map(), children: [] };
  const open = [root];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < page.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(page);
    if (match === null) throw new Error(`no markup: ${page.slice(at, at + 60)}`);
    const [whole, closes, name, written, isVoid] = match;
    const inner = open.at(-1)!;
    if (name === undefined) {
      if (!whole.startsWith("<!")) inner.children.push(decode(whole));
    } else if (closes === "/") {
      if (open.pop()?.name !== name) throw new Error(`</${name}> closes ${inner.name}`);
    } else {
      const found: PageElement = { name, attributes: attributesOf(written ?? ""), children: [] };
      inner.children.push(found);
      if (isVoid !== "/") open.push(found);
    }
  }
  if (open.length !== 1) throw new Error(`${open.at(-1)!.name} is not closed`);
  return root;
}

function attributesOf(written: string): ReadonlyMap<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name, value] of written.matchAll(ATTRIBUTE)) {
    if (attributes.has(name!)) throw new Error(`${name} is given twice`);
    attributes.set(name!, decode(value!));
  }
  return attributes;
}

function decode(text: string): string {
  return text.replace(/&([^;]*);?/g, (whole, name: string) => {
    const sign = ENTITIES.get(name);
    if (sign === undefined || !whole.endsWith(";")) throw new Error(`no entity: ${whole}`);
    return sign;
  });
}

export function allIn(root: PageElement, name: string): readonly PageElement[] {
  return root.children.flatMap((child) => {
    if (typeof child === "string") return [];
    return [...(child.name === name ? [child] : []), ...allIn(child, name)];
  });
}

export function textIn(root: PageElement): string {
  return root.children.map((child) => (typeof child === "string" ? child : textIn(child))).join("");
}
