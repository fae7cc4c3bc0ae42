/** First in, first out, at the same small cost however many wait: an array gives its taken places back in halves. */
export class Queue<Item> {
  #items: Item[] = [];
  #taken = 0;

  get first(): Item | undefined {
    return this.#items[this.#taken];
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): void {
    this.#taken += 1;
    if (2 * this.#taken < this.#items.length) return;
    this.#items = this.#items.slice(this.#taken);
    this.#taken = 0;
  }
}
