// Stands in for iconv-lite in mysql2: the charsets that Node knows itself. Our connections speak utf8mb4.
const encodings = {
  utf8: 'utf8',
  utf8mb4: 'utf8',
  cesu8: 'utf8',
  ascii: 'latin1',
  latin1: 'latin1',
  iso88591: 'latin1',
  binary: 'latin1',
  ucs2: 'utf16le',
  utf16le: 'utf16le',
};
const find = (name) =>
  encodings[
    String(name)
      .toLowerCase()
      .replace(/[^a-z0-9]/g, '')
  ];
const encodingOf = (name) => {
  const encoding = find(name);
  if (encoding) return encoding;
  throw new Error(
    `Columns in charset ${name} cannot be read: convert them to utf8mb4 in the query.`,
  );
};
module.exports = {
  encodingExists: (name) => find(name) !== undefined,
  decode: (buffer, name) => buffer.toString(encodingOf(name)),
  encode: (text, name) => Buffer.from(text, encodingOf(name)),
  getDecoder: (name) => ({ write: (buffer) => buffer.toString(encodingOf(name)), end: () => '' }),
};
