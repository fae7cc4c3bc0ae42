/** Requests as no well-behaved client sends them: the head goes out as it is written here. */
import { connect } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly text: string;
}

/** Resolves when the other side has closed the connection. */
export async function rawRequest(
  url: string,
  head: readonly string[],
  body = "",
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(
    `${[...head, "Connection: close", `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`,
  );
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), text };
}
