/** What waits, in a line for each key; the keys take turns. Owns the lines and whose turn it is. */

/** The caller of a task that waits. */
export interface Caller {
  /** The key that it came with. */
  readonly key: string;
  /** Aborted when nothing waits for its result any more. */
  readonly signal: AbortSignal;
}

export class FairQueue<T> {
  /** Lines that are not empty, in the order of their turns. */
  readonly #lines = new Map<string, T[]>();
  /** Whose turn was the last one: it comes behind all that wait when the next one is taken. */
  #last: string | null = null;
  #size = 0;

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** How many of a key wait. */
  sizeOf(key: string): number {
    return this.#lines.get(key)?.length ?? 0;
  }

  add(key: string, item: T): void {
    const line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, [item]);
    else line.push(item);
    this.#size += 1;
  }

  /** Takes one out that waits; false where it does not. */
  remove(key: string, item: T): boolean {
    const index = this.#lines.get(key)?.indexOf(item) ?? -1;
    if (index === -1) return false;
    this.#cut(key, index);
    return true;
  }

  /**
   * Takes the first in the line of the key whose turn it is; null where none is accepted.
   * @param accepts is asked of each key in turn; one that is passed over stays where it is
   */
  take(accepts: (key: string, first: T) => boolean = () => true): T | null {
    const last = this.#last === null ? undefined : this.#lines.get(this.#last);
    if (this.#last !== null && last !== undefined) {
      this.#lines.delete(this.#last);
      this.#lines.set(this.#last, last);
    }
    this.#last = null;
    for (const [key, [first]] of this.#lines) {
      if (!accepts(key, first)) continue;
      this.#last = key;
      return this.#cut(key, 0);
    }
    return null;
  }

  /** Takes the newest of the longest line, if it is longer than `length`; null without one. */
  takeBack(length: number): T | null {
    let longest: string | null = null;
    let most = length;
    for (const [key, line] of this.#lines) {
      if (line.length <= most) continue;
      longest = key;
      most = line.length;
    }
    return longest === null ? null : this.#cut(longest, most - 1);
  }

  /** Takes all. */
  clear(): T[] {
    const all = [...this.#lines.values()].flat();
    this.#lines.clear();
    this.#size = 0;
    return all;
  }

  #cut(key: string, index: number): T {
    const line = this.#lines.get(key)!;
    const [item] = line.splice(index, 1);
    if (line.length === 0) this.#lines.delete(key);
    this.#size -= 1;
    return item;
  }
}
