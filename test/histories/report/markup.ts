/**
 * Text that is a piece of a page, which only `element` and `text` make, so that no name from a run is ever taken for markup. Pages are
 * well-formed XML as well as HTML.
 */
declare const markup: unique symbol;
export type Markup = string & { readonly [markup]: true };

type Attributes = Readonly<Record<string, string | number>>;

const VOID_ELEMENTS: ReadonlySet<string> = new Set(["meta"]);
// XML has no way to write these.
// eslint-disable-next-line no-control-regex
const UNSPEAKABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;
const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function element(
  name: string,
  attributes: Attributes,
  ...children: readonly (Markup | readonly Markup[])[]
): Markup {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${text(`${value}`)}"`);
  const start = `<${name}${written.join("")}`;
  if (VOID_ELEMENTS.has(name)) return `${start}/>` as Markup;
  return `${start}>${children.flat().join("")}</${name}>` as Markup;
}

export function text(value: string): Markup {
  const speakable = value.replace(UNSPEAKABLE, "\ufffd");
  return speakable.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign) as Markup;
}

/** For the page's own style sheet, which is written here and nowhere else, and has nothing to escape. */
export function styleSheet(css: string): Markup {
  return `<style>${css}</style>` as Markup;
}
