/**
 * What the package's entries export says what its signature cannot: each declaration what it is for, and each member its
 * unit, shape, range, errors, or when it is left out. A flag, a text or a choice of names that its own name explains needs
 * no sentence. Read from the sources' syntax alone, which takes no type checker.
 */
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

const parsed = new Map<string, ts.SourceFile>();

function parse(path: string): ts.SourceFile {
  let file = parsed.get(path);
  if (file === undefined) {
    file = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
    parsed.set(path, file);
  }
  return file;
}

/** What a file exports, by name: declarations, through any number of files that only pass them on. */
function exportsOf(path: string): Map<string, ts.Node> {
  const exported = new Map<string, ts.Node>();
  for (const statement of parse(path).statements) {
    if (ts.isExportDeclaration(statement)) {
      const { exportClause, moduleSpecifier } = statement;
      // Whatever is passed on has a name here, so that nothing becomes public by accident.
      if (exportClause === undefined || !ts.isNamedExports(exportClause)) {
        throw new Error(`${path} exports something without its name: ${statement.getText()}`);
      }
      for (const { name, propertyName } of exportClause.elements) {
        const inside = (propertyName ?? name).getText();
        const from = moduleSpecifier ?? importOf(inside, path);
        const target = join(dirname(path), (from as ts.StringLiteral).text.replace(/\.js$/, ".ts"));
        const declaration = exportsOf(target).get(inside);
        if (declaration === undefined) throw new Error(`${target} exports no ${inside}`);
        exported.set(name.getText(), declaration);
      }
    } else if (hasModifier(statement, ts.SyntaxKind.ExportKeyword)) {
      for (const name of namesOf(statement)) {
        // An overload's comment stands at its first signature.
        if (!exported.has(name)) exported.set(name, statement);
      }
    }
  }
  return exported;
}

/** Where a file imports a name from. */
function importOf(name: string, path: string): ts.Expression {
  const found = parse(path)
    .statements.filter(ts.isImportDeclaration)
    .find(({ importClause }) => {
      const bindings = importClause?.namedBindings;
      return bindings !== undefined && ts.isNamedImports(bindings)
        ? bindings.elements.some((element) => element.name.text === name)
        : false;
    });
  if (found === undefined) throw new Error(`${path} exports ${name}, which it does not import`);
  return found.moduleSpecifier;
}

function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  }
  return "name" in statement ? [(statement.name as ts.Identifier).text] : [];
}

function hasModifier(node: ts.Node, kind: ts.SyntaxKind): boolean {
  return (
    ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some((modifier) => modifier.kind === kind)
  );
}

/** Types that leave something open: a unit or range, a shape or order, when there is none, when it fails. */
const LEAVES_OPEN = /\b(number|bigint|null|Promise|Map|Set|\w*Array|unknown)\b|\[\]|=>/;

/** Whether a member's name and type say all there is to say. */
function isPlain(member: ts.Node): boolean {
  if (!ts.isPropertySignature(member) && !ts.isPropertyDeclaration(member)) return false;
  return (
    member.questionToken === undefined &&
    member.type !== undefined &&
    !LEAVES_OPEN.test(member.type.getText())
  );
}

/** Members that others can use. */
function publicMembers(declaration: ts.Node): { name: string; member: ts.Node }[] {
  if (!ts.isInterfaceDeclaration(declaration) && !ts.isClassDeclaration(declaration)) return [];
  const seen = new Set<string>();
  return [...declaration.members].flatMap((member) => {
    const { name } = member;
    if (name === undefined || ts.isPrivateIdentifier(name) || ts.isComputedPropertyName(name)) return [];
    // Only tells members of a union apart, which say themselves what they are.
    if (name.getText() === "type") return [];
    if (hasModifier(member, ts.SyntaxKind.PrivateKeyword) || seen.has(name.getText())) return [];
    seen.add(name.getText());
    return [{ name: name.getText(), member }];
  });
}

function isDocumented(node: ts.Node): boolean {
  return ts.getJSDocCommentsAndTags(node).some((doc) => ts.isJSDoc(doc));
}

test.each([
  ["src/index.ts", 40],
  ["src/server/index.ts", 8],
  ["src/explain/index.ts", 30],
  ["src/stories.ts", 1],
  ["src/tier/index.ts", 6],
  ["src/sampling/index.ts", 7],
])("what %s exports has doc comments where signatures leave something open", (entry, least) => {
  const exported = exportsOf(join(root, entry));
  expect(exported.size).toBeGreaterThanOrEqual(least);
  const bare = [...exported].flatMap(([name, declaration]) => {
    const file = relative(root, declaration.getSourceFile().fileName);
    const members = publicMembers(declaration).filter(
      ({ member }) => !isPlain(member) && !isDocumented(member),
    );
    return [
      ...(isDocumented(declaration) ? [] : [`${name} (${file})`]),
      ...members.map((member) => `${name}.${member.name} (${file})`),
    ];
  });
  expect(bare).toEqual([]);
});
