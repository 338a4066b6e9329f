/** The explorer's language: its strings, and numbers as it writes them. */
import { en } from "./en.ts";
import { LanguageChoice } from "./language-choice.svelte.ts";
import { zh } from "./zh.ts";

class Language extends LanguageChoice {
  readonly strings = $derived(this.name === "zh" ? zh : en);
  readonly #integer = $derived(new Intl.NumberFormat(this.name === "zh" ? "zh-CN" : "en"));

  /** A whole number with its thousands apart. */
  integer(value: number): string {
    return this.#integer.format(value);
  }

  /** Names, one after the other. */
  list(names: readonly string[]): string {
    return new Intl.ListFormat(this.name === "zh" ? "zh-CN" : "en-GB").format(names);
  }

  /** A number at an axis. */
  tick(value: number): string {
    return Number.isInteger(value) ? this.integer(value) : String(value);
  }

  /** An amount of memory, in units of a thousand. */
  bytes(value: number): string {
    if (value < 1000) return `${value} B`;
    const power = value < 1e6 ? 1 : value < 1e9 ? 2 : 3;
    const amount = value / 1000 ** power;
    return `${amount.toFixed(amount < 10 ? 2 : amount < 100 ? 1 : 0)} ${["", "kB", "MB", "GB"][power]}`;
  }

  /** Three significant digits, or all that are before the point. */
  milliseconds(value: number): string {
    if (value >= 1000) return this.integer(Math.round(value));
    const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
    return value.toFixed(digits);
  }
}

export const language = new Language();
