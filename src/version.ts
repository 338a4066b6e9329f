/** The package's version: a word of the code, so that a bundle knows of which version it is. A test holds it to package.json. */
export const VERSION = "0.1.0";
