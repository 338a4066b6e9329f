/** Light or dark: the system's at first, then whatever was chosen here. Owns the document's `data-theme`. */
const STORED_AS = "lastrow.theme";

type ThemeName = "light" | "dark";

class Theme {
  name = $state<ThemeName>(initial());

  toggle(): void {
    this.name = this.name === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = this.name;
    try {
      localStorage.setItem(STORED_AS, this.name);
    } catch {
      // A page that may store nothing follows the system next time.
    }
  }
}

function initial(): ThemeName {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORED_AS);
  } catch {
    // As above.
  }
  const isDark = stored === null ? matchMedia("(prefers-color-scheme: dark)").matches : stored === "dark";
  const name = isDark ? "dark" : "light";
  document.documentElement.dataset.theme = name;
  return name;
}

export const theme = new Theme();
