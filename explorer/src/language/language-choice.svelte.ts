/**
 * The language of a page: the browser's at first, then whatever was chosen here, remembered. Owns that choice and the
 * document's `lang`.
 */
type LanguageName = "en" | "zh";

const STORED_AS = "lastrow.language";

export class LanguageChoice {
  name = $state<LanguageName>(initial());

  choose(name: LanguageName): void {
    this.name = name;
    document.documentElement.lang = htmlName(name);
    try {
      localStorage.setItem(STORED_AS, name);
    } catch {
      // A page that may store nothing asks the browser again next time.
    }
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
