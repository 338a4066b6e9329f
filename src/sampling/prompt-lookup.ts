export class PromptLookup {
  readonly #tokens: number[] = [];
  readonly #max: number;
  constructor({ maxTokens }: { maxTokens: number }) {
    this.#max = maxTokens;
  }
  push(token: number): void {
    this.#tokens.push(token);
  }
  propose(): number[] {
    const t = this.#tokens;
    for (let i = t.length - 2; i >= 0; i--) if (t[i] === t[t.length - 1]) return t.slice(i + 1, i + 1 + this.#max);
    return [];
  }
}
