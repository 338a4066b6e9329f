/**
 * The language of the page: the browser's at first, then whatever was chosen here, remembered. Owns that choice and the
 * document's `lang`.
 */
import { en } from "./en.ts";
import { zh } from "./zh.ts";

type LanguageName = "en" | "zh";

const STORED_AS = "lastrow.language";

class Language {
  name = $state<LanguageName>(initial());
  readonly strings = $derived(this.name === "zh" ? zh : en);
  readonly #integer = $derived(new Intl.NumberFormat(this.name === "zh" ? "zh-CN" : "en"));

  choose(name: LanguageName): void {
    this.name = name;
    document.documentElement.lang = htmlName(name);
    try {
      localStorage.setItem(STORED_AS, name);
    } catch {
      // A page that may store nothing asks the browser again next time.
    }
  }

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

function htmlName(name: LanguageName): string {
  return name === "zh" ? "zh-CN" : "en";
}

function initial(): LanguageName {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORED_AS);
  } catch {
    // As above.
  }
  const preferred = stored ?? navigator.languages.find((name) => /^(zh|en)\b/i.test(name)) ?? "en";
  const name = /^zh/i.test(preferred) ? "zh" : "en";
  document.documentElement.lang = htmlName(name);
  return name;
}

export const language = new Language();
