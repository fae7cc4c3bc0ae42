/** The API document as its readers use it: to check what a node answers against what it says that it answers. */
import { Ajv2020 } from "ajv/dist/2020.js";

export interface Operation {
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly example?: unknown;
  }[];
  readonly requestBody?: {
    readonly content: Readonly<
      Record<string, { readonly examples: Readonly<Record<string, { readonly value: unknown }>> }>
    >;
  };
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

export interface ApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

export interface Told {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Names everything in an answer that the document does not say; empty when it says all of it. */
export function checkerOf(
  document: ApiDocument,
): (path: string, method: string, told: Told) => string[] {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(document, "api");
  return (path, method, { status, headers, text }) => {
    const operation = document.paths[path]?.[method];
    if (operation === undefined) return [`${method} ${path} is not documented`];
    if (operation.responses[status] === undefined) return [`status ${status} is not documented`];
    const [type = ""] = (headers.get("content-type") ?? "").split(";");
    const place = ["paths", path, method, "responses", status, "content", type, "schema"];
    const pointer = place.map((part) => {
      return encodeURIComponent(String(part).replaceAll("~", "~0").replaceAll("/", "~1"));
    });
    const validate = ajv.getSchema(`api#/${pointer.join("/")}`);
    if (validate === undefined) return [`status ${status} with ${type} is not documented`];
    const body: unknown = type === "text/plain" ? text : JSON.parse(text);
    if (validate(body) === true) return unnamed(body, operation.responses[status].description);
    return (validate.errors ?? []).map(({ instancePath, message = "" }) => {
      return `${instancePath} ${message}`;
    });
  };
}

/** A status has one entry for all codes that it may carry: its description names them. */
function unnamed(body: unknown, description: string): string[] {
  const { code } = (body ?? {}) as { readonly code?: unknown };
  const isNamed = typeof code !== "string" || description.includes(`\`${code}\``);
  return isNamed ? [] : [`${code} is not documented`];
}
