/**
 * `GET /openapi.json`, and `GET /docs`: the document in the browser. The page and what it loads come from this node alone
 * (swagger-ui-dist from node_modules), and the browser is told to load from nowhere else.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { ServerResponse } from "node:http";
import { SynodError } from "../../../shared/model/errors.ts";
import { answer } from "../../../shared/runtime/http.ts";
import { openApiDocument } from "./document.ts";

/** Icons in the viewer's style sheet are data: addresses. */
const POLICY =
  "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
};
const OK = 200;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Synod API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

/** Without the validator the viewer asks no other host. */
const START = `SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });\n`;

const PACKAGED = new Map([
  ["swagger-ui.css", "text/css; charset=utf-8"],
  ["swagger-ui-bundle.js", "text/javascript; charset=utf-8"],
  ["favicon-32x32.png", "image/png"],
]);

export class Docs {
  #document: string | undefined;
  readonly #assets = new Map<string, Promise<Buffer>>();

  openApi(response: ServerResponse): void {
    this.#document ??= JSON.stringify(openApiDocument());
    answer(response, OK, "application/json", this.#document, HEADERS);
  }

  page(response: ServerResponse): void {
    answer(response, OK, "text/html; charset=utf-8", PAGE, HEADERS);
  }

  /** Rejects with `not-found` for what is not part of the page. */
  async asset(response: ServerResponse, name: string): Promise<void> {
    if (name === "start.js") {
      answer(response, OK, "text/javascript; charset=utf-8", START, HEADERS);
      return;
    }
    const type = PACKAGED.get(name);
    if (type === undefined) throw new SynodError("not-found", "there is nothing here");
    answer(response, OK, type, await this.#packaged(name), HEADERS);
  }

  /** Read once: people look at one page for long, and seldom. */
  #packaged(name: string): Promise<Buffer> {
    const known = this.#assets.get(name);
    if (known !== undefined) return known;
    const path = createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`);
    const reading = readFile(path);
    this.#assets.set(name, reading);
    return reading;
  }
}
