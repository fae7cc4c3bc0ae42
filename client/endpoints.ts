/**
 * Which coordinator is asked next: the leader if one is known, else one after the other. Any node answers everything; asking
 * the leader saves the way through a follower.
 *
 * A leader that an answer names is followed only if it is one of the given endpoints: a token is never sent to an address
 * that the caller did not give.
 */
const LEADER_HEADER = /^\d+; url="([^"]+)"$/;

export class Endpoints {
  readonly urls: readonly string[];
  #turn = 0;
  #leader: string | undefined;

  /** Throws a TypeError when there is none, or one that is no http(s) address. */
  constructor(urls: readonly string[]) {
    if (urls.length === 0) throw new TypeError("endpoints: at least one coordinator must be given");
    this.urls = urls.map(base);
  }

  next(): string {
    return this.#leader ?? this.urls[this.#turn] ?? "";
  }

  /** Takes the `Synod-Leader` header of an answer. */
  heard(header: string | undefined): void {
    const named = LEADER_HEADER.exec(header ?? "")?.[1];
    const url = named !== undefined && URL.canParse(named) ? base(named) : undefined;
    if (url !== undefined) this.#leader = this.urls.includes(url) ? url : undefined;
  }

  /** This one gave no useful answer: the next one is asked. */
  failed(url: string): void {
    if (this.#leader === url) this.#leader = undefined;
    if (this.next() === url) this.#turn = (this.#turn + 1) % this.urls.length;
  }
}

function base(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`endpoints: "${text}" is no http or https address`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
