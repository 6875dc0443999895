// PNG and zip files, written here so that they hold exactly these numbers.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
});

function checksum(bytes) {
    let crc = 0xffffffff;
    for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
    return ~crc >>> 0;
}

export async function packed(bytes, format = 'deflate') {
    const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream(format));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

export async function unpacked(bytes, most) {
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
    const parts = [];
    for (let size = 0; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        size += value.length;
        if (size > most) throw new RangeError('too large');
        parts.push(value);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
}

// rows: a Uint8Array of each row's bytes one after the other; kind: PNG's colour type, 0 grey, 2 RGB.
async function png(width, height, depth, kind, rows) {
    const stride = rows.length / height;
    const filtered = new Uint8Array(rows.length + height);
    for (let row = 0; row < height; row++) filtered.set(rows.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1);
    const header = new Uint8Array(13);
    const view = new DataView(header.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    header.set([depth, kind, 0, 0, 0], 8);
    const parts = [new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]), chunk('IHDR', header), chunk('IDAT', await packed(filtered)),
        chunk('IEND', new Uint8Array())];
    return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function chunk(name, content) {
    const bytes = new Uint8Array(content.length + 12);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, content.length);
    bytes.set(new TextEncoder().encode(name), 4);
    bytes.set(content, 8);
    view.setUint32(content.length + 8, checksum(bytes.subarray(4, content.length + 8)));
    return bytes;
}

// Grey, of 8 bits where the numbers fit, else of 16.
export async function greyPng(width, height, numbers) {
    const deep = numbers.some((number) => number > 255);
    const rows = new Uint8Array(numbers.length * (deep ? 2 : 1));
    numbers.forEach((number, index) => {
        if (deep) rows.set([number >> 8, number & 255], 2 * index);
        else rows[index] = number;
    });
    return png(width, height, deep ? 16 : 8, 0, rows);
}

export async function colourPng(width, height, pixels) {
    return png(width, height, 8, 2, pixels);
}

// A zip archive, not compressed: PNG files are already. files: { name: Uint8Array }.
export function zip(files) {
    const parts = [], directory = [];
    let offset = 0;
    for (const [name, content] of Object.entries(files)) {
        const encoded = new TextEncoder().encode(name);
        const fields = new DataView(new ArrayBuffer(26)); // what both headers say
        fields.setUint16(0, 20, true);
        fields.setUint16(2, 0x0800, true); // names are UTF-8
        fields.setUint16(8, 0x21, true); // 1 January 1980: no time is kept
        fields.setUint32(10, checksum(content), true);
        fields.setUint32(14, content.length, true);
        fields.setUint32(18, content.length, true);
        fields.setUint16(22, encoded.length, true);
        // Time and date are at 6 and 8, after version, flags and method.
        const central = new DataView(new ArrayBuffer(14));
        central.setUint32(10, offset, true);
        parts.push(new Uint8Array([0x50, 0x4b, 3, 4]), fields.buffer, encoded, content);
        directory.push(new Uint8Array([0x50, 0x4b, 1, 2, 20, 0]), fields.buffer, central.buffer, encoded);
        offset += 30 + encoded.length + content.length;
    }
    const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, 0x06054b50, true);
    end.setUint16(8, Object.keys(files).length, true);
    end.setUint16(10, Object.keys(files).length, true);
    end.setUint32(12, size, true);
    end.setUint32(16, offset, true);
    return new Blob([...parts, ...directory, end.buffer], { type: 'application/zip' });
}
