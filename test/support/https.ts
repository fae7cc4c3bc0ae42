/** Requests to a node with or without TLS; who answers is not checked here. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export function ask(
  url: string,
  path: string,
  { body, ...options }: RequestOptions & { readonly body?: unknown } = {},
): Promise<Answer> {
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const method = body === undefined ? "GET" : "POST";
    const sent = send(
      `${url}${path}`,
      { ...{ method, headers, rejectUnauthorized: false }, ...options },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown });
        });
      },
    );
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
