// Which RFC requirement is implemented where, and which test proves it: joins docs/rfc-checklist.md with the citations in src/ and test/
// and writes docs/rfc-coverage.md. `make rfc` runs it; test/rfc-coverage.test.ts holds the project to the result.
//
// A citation is an id of the checklist (M12, MUST-12, SHLD-3, MAY-2, IP4, or a range M18–M23) or an RFC with sections (RFC 9293 §3.5, §3.6).
// In src/ it counts inside comments; in test/ inside titles of tests and comments of packet scripts. A section stands for a
// requirement that has it alone; where several share one, a test must name the id.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Requirement {
  id: string;
  level: 'MUST' | 'SHOULD' | 'MAY';
  rfc: string;
  section: string;
  text: string;
  heading: string;
  implemented: Place[];
  tests: Place[];
  reason: string;
}

export interface Place {
  file: string;
  line: number;
  text: string;
}

interface Citations extends Place {
  ids: Set<string>;
  /** `9293 §3.5`, or `9293` for the RFC as a whole. */
  clauses: Set<string>;
}

export interface Coverage {
  requirements: Requirement[];
  /** Requirements for which the rule "implemented and tested, or a reason" does not hold. */
  missing: Requirement[];
  /** Reasons for ids that the checklist does not have. */
  strayReasons: string[];
}

const TCP_RFC = '9293';
const LEVELS = { M: 'MUST', S: 'SHOULD', MAY: 'MAY', REC: 'SHOULD' } as const;
const SOURCE_SHOWN = 4;

export function checklist(markdown: string): Requirement[] {
  const requirements: Requirement[] = [];
  let chapter = '';
  let heading = '';
  for (const line of markdown.split('\n')) {
    if (line.startsWith('## ')) chapter = heading = line.slice(3);
    if (line.startsWith('### ')) heading = `${chapter} — ${line.slice(4)}`;
    const item = /^- ([A-Z]+-?\d+)(?: (MUST|SHOULD|MAY))? \((?:RFC (\d+) ?)?(?:§([\d.]+))?\): (.+)$/.exec(line);
    if (item === null) {
      if (chapter !== '' && line.startsWith('- ')) throw new Error(`docs/rfc-checklist.md: not a requirement: ${line}`);
      continue;
    }
    const [, id, level, rfc = TCP_RFC, section = '', text] = item;
    const prefix = id.replace(/-?\d+$/, '');
    requirements.push({
      id,
      level: (level ?? LEVELS[prefix as keyof typeof LEVELS]) as Requirement['level'],
      rfc,
      section,
      text,
      heading,
      implemented: [],
      tests: [],
      reason: '',
    });
  }
  return requirements;
}

/** What `text` cites. Ids outside parentheses and away from an RFC's number are ignored: `M2` may be a variable. */
export function citations(text: string, known: ReadonlySet<string>): Pick<Citations, 'ids' | 'clauses'> {
  const ids = new Set<string>();
  const clauses = new Set<string>();
  const spelled = text.replace(/\bMUST-(?=\d)/g, 'M').replace(/\bSHLD-(?=\d)/g, 'S');
  for (const [, prefix, from, to] of spelled.matchAll(/\b([A-Z]+-?)(\d+)(?:\s?[–-]\s?\1(\d+))?\b/g)) {
    for (let n = Number(from); n <= Number(to ?? from); n++) if (known.has(prefix + n)) ids.add(prefix + n);
  }
  for (const [, rfc, rest] of spelled.matchAll(/RFC (\d+)((?:(?!RFC \d).)*)/gs)) {
    const sections = [...rest.matchAll(/§(\d+(?:\.\d+)*)/g)];
    clauses.add(rfc);
    for (const [, section] of sections) clauses.add(`${rfc} §${section}`);
  }
  return { ids, clauses };
}

function* files(root: string, directory: string): Generator<string> {
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) yield* files(root, path);
    else yield path;
  }
}

/** Comments; lines of comment that follow each other are one text, because a citation may go over two. */
function* comments(source: string): Generator<{ line: number; text: string }> {
  let block = { line: 0, text: '' };
  for (const [i, line] of source.split('\n').entries()) {
    const whole = /^\s*(?:\/\/|\/\*\*?|\*(?!\/)) ?(.*)$/.exec(line);
    const behind = whole === null ? /\s\/\/ ?(.*)$/.exec(line) : null;
    if (whole !== null && block.text !== '') block.text += ` ${whole[1].trim()}`;
    else {
      if (block.text !== '') yield block;
      block = { line: i + 1, text: whole?.[1].trim() ?? '' };
    }
    if (behind !== null) yield { line: i + 1, text: behind[1].trim() };
  }
  if (block.text !== '') yield block;
}

const TITLE = /\b(?:test|it|describe)(?:\.\w+)*(?:\([^'"`]*?\))?\(\s*(['"`])((?:\\.|(?!\1)[\s\S])*)\1/g;

function* titles(source: string): Generator<{ line: number; text: string }> {
  let line = 1;
  let at = 0;
  for (const found of source.matchAll(TITLE)) {
    for (; at < found.index; at++) if (source.charCodeAt(at) === 10) line++;
    yield { line, text: found[2] };
  }
}

/** A packet script is one test: its first comment is the title, and all of them may cite. */
function* script(source: string): Generator<{ line: number; text: string }> {
  const found = [...source.matchAll(/(?:\/\/|#) ?(.*)$/gm)].map((m) => m[1]);
  if (found.length > 0) yield { line: 1, text: found.join(' ') };
}

function collect(root: string, known: ReadonlySet<string>): { source: Citations[]; tests: Citations[] } {
  const source: Citations[] = [];
  const tests: Citations[] = [];
  const add = (to: Citations[], file: string, read: Iterable<{ line: number; text: string }>): void => {
    for (const { line, text } of read) {
      const found = citations(text, known);
      if (found.ids.size + found.clauses.size > 0) to.push({ file, line, text, ...found });
    }
  };
  for (const file of files(root, 'src')) {
    if (file.endsWith('.ts')) add(source, file, comments(readFileSync(join(root, file), 'utf8')));
  }
  for (const file of files(root, 'test')) {
    if (file.endsWith('.test.ts')) add(tests, file, titles(readFileSync(join(root, file), 'utf8')));
    else if (file.endsWith('.pkt')) add(tests, file, script(readFileSync(join(root, file), 'utf8')));
  }
  return { source, tests };
}

const clauseOf = (r: Requirement): string => (r.section === '' ? r.rfc : `${r.rfc} §${r.section}`);

const place = ({ file, line, text }: Citations): Place => ({ file, line, text });

export function coverage(root: string): Coverage {
  const requirements = checklist(readFileSync(join(root, 'docs/rfc-checklist.md'), 'utf8'));
  const byId = new Map(requirements.map((r) => [r.id, r]));
  if (byId.size !== requirements.length) throw new Error('docs/rfc-checklist.md: an id appears twice');
  const reasonsFile = join(root, 'docs/rfc-reasons.json');
  const reasons: Record<string, string> = existsSync(reasonsFile) ? JSON.parse(readFileSync(reasonsFile, 'utf8')) : {};
  const { source, tests } = collect(root, new Set(byId.keys()));

  const sharing = new Map<string, number>();
  for (const r of requirements) sharing.set(clauseOf(r), (sharing.get(clauseOf(r)) ?? 0) + 1);

  for (const r of requirements) {
    const clause = clauseOf(r);
    const alone = sharing.get(clause) === 1;
    const exact = source.filter((c) => c.ids.has(r.id));
    // TCP's ids are everybody's, so the source names them; our own ids only say which test goes with which line.
    const bySection = r.rfc === TCP_RFC && !alone ? [] : source.filter((c) => c.clauses.has(clause));
    r.implemented = (exact.length > 0 ? exact : bySection).map(place);
    r.tests = tests.filter((c) => c.ids.has(r.id) || (alone && c.clauses.has(clause))).map(place);
    r.reason = reasons[r.id] ?? '';
  }
  const proven = (r: Requirement): boolean => r.implemented.length > 0 && r.tests.length > 0;
  return {
    requirements,
    missing: requirements.filter((r) => r.level !== 'MAY' && !proven(r) && r.reason === ''),
    strayReasons: Object.keys(reasons).filter((id) => !byId.has(id)),
  };
}

const cell = (text: string): string => text.replaceAll('\\', '').replaceAll('|', '\\|').replaceAll('\n', ' ');

function listed(places: Place[], show: (p: Place) => string): string {
  const shown = places.slice(0, SOURCE_SHOWN).map(show).join('<br>');
  return places.length > SOURCE_SHOWN ? `${shown}<br>and ${places.length - SOURCE_SHOWN} more` : shown;
}

export function report({ requirements }: Coverage): string {
  const count = (level: string, which: (r: Requirement) => boolean): number =>
    requirements.filter((r) => r.level === level && which(r)).length;
  const proven = (r: Requirement): boolean => r.implemented.length > 0 && r.tests.length > 0;
  const lines = [
    '# RFC coverage',
    '',
    'Written by `make rfc` from [rfc-checklist.md](rfc-checklist.md), the citations in `src/` and `test/`, and',
    '[rfc-reasons.json](rfc-reasons.json). Do not edit.',
    '',
    '| | in all | implemented and tested | with a reason why not, or how else | open |',
    '|---|---|---|---|---|',
  ];
  for (const level of ['MUST', 'SHOULD', 'MAY']) {
    const open = (r: Requirement): boolean => !proven(r) && r.reason === '';
    lines.push(
      `| ${level} | ${count(level, () => true)} | ${count(level, proven)} | ${count(level, (r) => !proven(r) && r.reason !== '')} | ${count(level, open)} |`,
    );
  }
  let heading = '';
  for (const r of requirements) {
    if (r.heading !== heading) {
      heading = r.heading;
      lines.push('', `## ${heading}`, '', '| | Requirement | Implemented | Tests |', '|---|---|---|---|');
    }
    const implemented = listed(r.implemented, (p) => `[${p.file.slice(4)}:${p.line}](../${p.file}#L${p.line})`);
    const tests = listed(r.tests, (p) => `[${cell(title(p))}](../${p.file}#L${p.line})`);
    const note = r.reason === '' ? '' : `<br>*${cell(r.reason)}*`;
    const clause = `RFC ${clauseOf(r)}`;
    lines.push(`| ${r.id} | ${r.level} ${clause}: ${cell(r.text)}${note} | ${implemented || '—'} | ${tests || '—'} |`);
  }
  return `${lines.join('\n')}\n`;
}

/** A packet script's text is all its comments: its name says enough. */
const title = (p: Place): string => (p.file.endsWith('.pkt') ? p.file.slice('test/'.length) : p.text);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const result = coverage(root);
  const target = join(root, 'docs/rfc-coverage.md');
  writeFileSync(target, report(result));
  const { requirements, missing, strayReasons } = result;
  for (const r of missing) {
    const lacks = [r.implemented.length === 0 ? 'implementation' : '', r.tests.length === 0 ? 'test' : ''];
    console.log(`${r.id} ${r.level} RFC ${clauseOf(r)}: no ${lacks.filter(Boolean).join(', no ')}: ${r.text}`);
  }
  for (const id of strayReasons) console.log(`docs/rfc-reasons.json: ${id} is no requirement`);
  console.log(`${requirements.length} requirements, ${missing.length} open; see ${relative(process.cwd(), target)}`);
  process.exitCode = missing.length + strayReasons.length === 0 ? 0 : 1;
}
