/** HTTP written by hand, for clients that do not keep to it. */
import { connect, type Socket } from "node:net";

export interface RawConnection {
  readonly socket: Socket;
  /** Everything that was answered, once the other side has ended the connection. */
  readonly ended: Promise<string>;
  /** Resolves with what has been answered so far, when that matches. */
  readonly answered: (pattern: RegExp) => Promise<string>;
}

export async function openRaw(url: string, firstBytes: string): Promise<RawConnection> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = "";
  const watchers = new Set<() => void>();
  socket.on("data", (data: Buffer) => {
    text += data.toString("latin1");
    for (const watch of watchers) watch();
  });
  // A connection that is cut off has ended as well; what had been answered is what counts.
  socket.on("error", () => undefined);
  const ended = new Promise<string>((resolve) => {
    socket.once("close", () => {
      resolve(text);
    });
  });
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.write(firstBytes);
  return {
    socket,
    ended,
    answered: (pattern) =>
      new Promise((resolve, reject) => {
        const watch = (): void => {
          if (!pattern.test(text)) return;
          watchers.delete(watch);
          resolve(text);
        };
        watchers.add(watch);
        watch();
        void ended.then(() => {
          reject(new Error(`the connection ended with: ${text}`));
        });
      }),
  };
}
