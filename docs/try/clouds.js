// Read clouds from PLY, XYZ, NPY and PCD files, and write a sample as PLY.
// A cloud is {n, columns: [{name, kind, values}]}: a typed array of n numbers for each column.
// Faults are sentences for a person, as Errors.

const ARRAYS = {
  i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
  f4: Float32Array, f8: Float64Array,
};
const GETTERS = {
  i1: "getInt8", u1: "getUint8", i2: "getInt16", u2: "getUint16", i4: "getInt32", u4: "getUint32",
  f4: "getFloat32", f8: "getFloat64", i8: "getBigInt64", u8: "getBigUint64",
};
const PLY_KINDS = {
  char: "i1", uchar: "u1", short: "i2", ushort: "u2", int: "i4", uint: "u4", float: "f4", double: "f8",
  int8: "i1", uint8: "u1", int16: "i2", uint16: "u2", int32: "i4", uint32: "u4", float32: "f4", float64: "f8",
};
const PLY_NAMES = {
  i1: "char", u1: "uchar", i2: "short", u2: "ushort", i4: "int", u4: "uint", f4: "float", f8: "double",
};
const READERS = { ply: readPly, pcd: readPcd, npy: readNpy, xyz: readText, txt: readText, csv: readText };
const RENAMED = { normal_x: "nx", normal_y: "ny", normal_z: "nz" }; // PCL's names in PLY's

// Read a file: its cloud, and the coordinates of its finite points for sample.js.
export function read(name, buffer) {
  const extension = name.split(".").pop().toLowerCase();
  const reader = READERS[extension];
  if (!reader) throw new Error(`${name}: this page reads .ply, .xyz, .npy and .pcd files. The command samplenet sample reads more.`);
  let cloud;
  try {
    if (!buffer.byteLength) throw new Error("is empty");
    cloud = reader(buffer);
    for (const axis of "xyz") {
      if (!column(cloud, axis)) throw new Error(`has no ${axis}; points need x, y and z, its columns are ${cloud.columns.map((c) => c.name).join(", ")}`);
    }
    if (!cloud.n) throw new Error("has 0 points");
  } catch (error) {
    const said = error instanceof RangeError ? "is cut off or damaged: it ends before its last point" : error.message;
    throw new Error(`${name} ${said}.`, { cause: error });
  }
  return { ...cloud, ...finite(name, cloud) };
}

const column = (cloud, name) => cloud.columns.find((c) => c.name === name);

// Coordinates of the finite points as numbers of 64 bits, and which points of the file they are.
function finite(name, cloud) {
  const axes = [..."xyz"].map((axis) => column(cloud, axis));
  const kept = [];
  for (let i = 0; i < cloud.n; i++) {
    if (axes.every((axis) => Number.isFinite(axis.values[i]))) kept.push(i);
  }
  if (!kept.length) throw new Error(`${name} has no point with finite coordinates.`);
  const [x, y, z] = axes.map((axis) => Float64Array.from(kept, (i) => axis.values[i]));
  const single = axes.every((axis) => axis.kind === "f4");
  return { kept: Int32Array.from(kept), points: { x, y, z, n: kept.length, single } };
}

const make = (name, kind, n) => ({ name, kind, values: new ARRAYS[kind](n) });
const latin = (buffer) => new TextDecoder("latin1").decode(buffer);

function sizeOf(kind) { return Number(kind[1]); }

// Read rows of numbers of these fields: {name, kind, count}; count > 1 gives name_0, name_1, ...
// Numbers of 64 bits without a fraction become doubles.
function binaryRows(buffer, start, fields, n, little) {
  const width = fields.reduce((sum, f) => sum + sizeOf(f.kind) * f.count, 0);
  const held = Math.floor((buffer.byteLength - start) / width);
  if (held < n) throw new Error(`is cut off: it holds ${Math.max(held, 0)} of ${n} points`);
  const view = new DataView(buffer, start);
  const columns = [];
  let offset = 0;
  for (const field of fields) {
    const get = GETTERS[field.kind], kind = field.kind.endsWith("8") ? "f8" : field.kind;
    for (let k = 0; k < field.count; k++, offset += sizeOf(field.kind)) {
      if (field.name === "_") continue; // padding of PCD
      const made = make(field.count > 1 ? `${field.name}_${k}` : field.name, kind, n);
      for (let i = 0; i < n; i++) made.values[i] = Number(view[get](i * width + offset, little));
      columns.push(made);
    }
  }
  return { n, columns };
}

function textRows(lines, start, fields, n) {
  const flat = fields.flatMap((f) => Array.from({ length: f.count }, (_, k) => ({ ...f, name: f.count > 1 ? `${f.name}_${k}` : f.name })));
  const columns = flat.map((f) => make(f.name, f.kind.endsWith("8") ? "f8" : f.kind, n));
  let row = 0;
  for (let at = start; row < n && at < lines.length; at++) {
    const words = lines[at].trim().split(/\s+/);
    if (words[0] === "") continue;
    if (words.length < flat.length) throw new Error(`cannot be read: line ${at + 1} has ${words.length} numbers instead of ${flat.length}`);
    for (let k = 0; k < flat.length; k++) columns[k].values[row] = number(words[k], at);
    row++;
  }
  if (row < n) throw new Error(`is cut off: it holds ${row} of ${n} points`);
  return { n, columns: columns.filter((c) => c.name !== "_") };
}

function number(word, at) {
  const value = Number(word);
  if (word !== "" && !Number.isNaN(value)) return value;
  if (/^[+-]?nan(\(ind\))?$/i.test(word)) return NaN;
  if (/^[+-]?inf(inity)?$/i.test(word)) return word.startsWith("-") ? -Infinity : Infinity;
  throw new Error(`cannot be read: line ${at + 1} holds '${word.slice(0, 20)}', which is not a number`);
}

function readPly(buffer) {
  const head = latin(buffer.slice(0, 1 << 16));
  if (!/^ply[ \t]*\r?\n/.test(head)) throw new Error("is not a PLY file: its first line is not 'ply'");
  const end = head.match(/\nend_header[ \t]*\r?\n/);
  if (!end) throw new Error("is damaged or cut off: its header has no line 'end_header'");
  const start = end.index + end[0].length;
  const elements = [];
  let format;
  for (const line of head.slice(0, end.index).split(/\r?\n/).slice(1)) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "format") format = words[1];
    else if (words[0] === "element") elements.push({ name: words[1], n: Number(words[2]), fields: [] });
    else if (words[0] === "property" && elements.length) {
      const kind = PLY_KINDS[words[1]];
      if (!kind && elements.at(-1).name === "vertex") throw new Error(`has vertices with a property of type '${words[1]}', which this page does not read; samplenet sample does`);
      elements.at(-1).fields.push({ name: words.at(-1), kind, count: 1 });
    }
  }
  if (elements[0]?.name !== "vertex") throw new Error("does not begin with vertices, so this page does not read it; samplenet sample does");
  const { fields, n } = elements[0];
  if (!Number.isInteger(n)) throw new Error("has a damaged header: its number of vertices is not a number");
  if (format === "ascii") {
    const lines = latin(buffer).split(/\r?\n/);
    return textRows(lines, head.slice(0, start).split("\n").length - 1, fields, n);
  }
  if (!format?.startsWith("binary_")) throw new Error("has a damaged header: its line 'format' is missing");
  return binaryRows(buffer, start, fields, n, format === "binary_little_endian");
}

function readPcd(buffer) {
  const head = latin(buffer.slice(0, 1 << 16));
  const data = head.match(/^DATA[ \t]+(\w+)[ \t]*\r?\n/m);
  if (!data) throw new Error("is not a PCD file, damaged or cut off: its header has no line 'DATA'");
  const header = {};
  for (const line of head.slice(0, data.index).split(/\r?\n/)) {
    const [key, ...values] = line.split("#")[0].trim().split(/\s+/);
    header[key] = values;
  }
  const names = header.FIELDS ?? header.COLUMNS;
  if (!names) throw new Error("has a damaged header: its line 'FIELDS' is missing");
  const fields = names.map((name, i) => ({
    name: RENAMED[name] ?? name,
    kind: `${(header.TYPE?.[i] ?? "F").toLowerCase()}${header.SIZE?.[i] ?? 4}`,
    count: Number(header.COUNT?.[i] ?? 1),
  }));
  const odd = fields.find((f) => !GETTERS[f.kind] || !(f.count > 0));
  if (odd) throw new Error(`has a damaged header: the type of its field ${odd.name} is not known`);
  const n = Number(header.POINTS?.[0] ?? header.WIDTH?.[0] * header.HEIGHT?.[0]);
  if (!Number.isInteger(n)) throw new Error("has a damaged header: its line 'POINTS' is not a number");
  const start = data.index + data[0].length;
  const kind = data[1].toLowerCase();
  let cloud;
  if (kind === "ascii") cloud = textRows(latin(buffer).split("\n"), head.slice(0, start).split("\n").length - 1, fields, n);
  else if (kind === "binary") cloud = binaryRows(buffer, start, fields, n, true);
  else throw new Error(`has data of the kind '${data[1]}', which this page does not read; samplenet sample does`);
  return unpackColours(cloud);
}

// PCL stores red, green and blue in the bytes of one number.
function unpackColours(cloud) {
  const at = cloud.columns.findIndex((c) => c.name === "rgb" && ["f4", "u4", "i4"].includes(c.kind));
  if (at < 0) return cloud;
  const bits = new Uint32Array(cloud.columns[at].values.buffer);
  const colours = ["red", "green", "blue"].map((name, i) => {
    const values = Uint8Array.from(bits, (v) => (v >> (16 - 8 * i)) & 255);
    return { name, kind: "u1", values };
  });
  return { ...cloud, columns: cloud.columns.toSpliced(at, 1, ...colours) };
}

function readNpy(buffer) {
  const head = new Uint8Array(buffer);
  if (latin(buffer.slice(0, 6)) !== "\x93NUMPY" && !(head[0] === 0x93 && latin(buffer.slice(1, 6)) === "NUMPY")) throw new Error("is not a .npy file");
  const view = new DataView(buffer);
  const long = head[6] > 1;
  const start = long ? 12 + view.getUint32(8, true) : 10 + view.getUint16(8, true);
  const text = latin(buffer.slice(long ? 12 : 10, start));
  const kind = text.match(/'descr':\s*'([<>|=])(\w\d+)'/);
  const shape = text.match(/'shape':\s*\(([^)]*)\)/)?.[1].split(",").filter((w) => w.trim()).map(Number);
  if (!kind || !GETTERS[kind[2]]) throw new Error("must hold one array of numbers; this page does not read structures or half precision, samplenet sample does");
  if (shape?.length !== 2 || shape[1] < 3) throw new Error(`must hold numbers of shape (N, 3 or more), got (${shape})`);
  const [n, width] = shape;
  const names = Array.from({ length: width }, (_, i) => "xyz"[i] ?? `column_${i}`);
  const little = kind[1] !== ">";
  if (/'fortran_order':\s*True/.test(text)) { // column after column
    const size = sizeOf(kind[2]);
    const columns = names.map((name, i) => binaryRows(buffer, start + i * n * size, [{ name, kind: kind[2], count: 1 }], n, little).columns[0]);
    return { n, columns };
  }
  return binaryRows(buffer, start, names.map((name) => ({ name, kind: kind[2], count: 1 })), n, little);
}

// Lines of numbers, separated by blanks, commas or semicolons; # and // begin comments.
function readText(buffer) {
  const lines = new TextDecoder().decode(buffer).split(/\r?\n/);
  let names = null, found = [];
  for (const [at, line] of lines.entries()) {
    const words = line.replace(/(^|\s)(#|\/\/).*/, "").trim().split(/[\s,;]+/).filter(Boolean);
    if (!words.length) continue;
    if (!found.length) {
      if (words.some((word) => Number.isNaN(Number(word)) && !/^[+-]?(nan|inf)/i.test(word))) { names = words; continue; }
      if (words.length === 1 && Number.isInteger(Number(words[0]))) continue; // the number of points
    } else if (words.length !== found[0].length) throw new Error(`cannot be read: line ${at + 1} has ${words.length} numbers instead of ${found[0].length}`);
    found.push(words.map((word) => number(word, at)));
  }
  if (!found.length || found[0].length < 3) throw new Error("holds no lines of three or more numbers");
  const width = found[0].length, n = found.length;
  if (names?.length !== width) names = [];
  const columns = Array.from({ length: width }, (_, k) => {
    const made = make(names[k] ?? "xyz"[k] ?? `column_${k}`, "f8", n);
    if ("XYZ".includes(made.name)) made.name = made.name.toLowerCase();
    found.forEach((row, i) => { made.values[i] = row[k]; });
    return made;
  });
  return { n, columns };
}

// Write the rows `idx` of a cloud, with all of its columns: binary little-endian PLY.
export function writePly(cloud, idx) {
  const lines = ["ply", "format binary_little_endian 1.0", `element vertex ${idx.length}`];
  for (const c of cloud.columns) lines.push(`property ${PLY_NAMES[c.kind]} ${c.name}`);
  const head = new TextEncoder().encode(`${lines.join("\n")}\nend_header\n`);
  const width = cloud.columns.reduce((sum, c) => sum + sizeOf(c.kind), 0);
  const body = new DataView(new ArrayBuffer(width * idx.length));
  let offset = 0;
  for (const c of cloud.columns) {
    const set = GETTERS[c.kind].replace("get", "set");
    idx.forEach((from, i) => body[set](i * width + offset, c.values[from], true));
    offset += sizeOf(c.kind);
  }
  return new Blob([head, body.buffer]);
}
