// The page's words in two languages. [name] stands for a value.

const WORDS = {
    en: {
        title: 'SPADE Paint', language: '中文', 'language-name': 'Show this page in Chinese',
        new: 'New', 'new-name': 'Begin with a map', save: 'Save', help: 'Keyboard and help', undo: 'Undo', redo: 'Redo',
        tools: 'Tools', brush: 'Brush', line: 'Line', rectangle: 'Rectangle', ellipse: 'Ellipse', polygon: 'Polygon', fill: 'Fill',
        pick: 'Pick a class from the map', erase: 'Erase to unlabelled', move: 'Move the view', done: 'Close polygon',
        size: 'Size', classes: 'Classes', search: 'Search classes', 'in-map': 'In this map', all: 'All classes', none: 'No class is called that.',
        unlabelled: 'unlabelled', objects: 'Objects', 'new-object': 'New object',
        'new-object-name': 'Another one of this class: it keeps an edge to those that it touches', edges: 'Show edges',
        'one-object': 'joined with what it touches', object: 'object [number]', stuff: 'stuff: has no objects',
        map: 'Label map', 'map-hint': 'pick a class, draw here', 'polygon-hint': 'click corners; Enter closes',
        picture: 'Picture', painting: 'painting …', painted: 'painted in [seconds] s', 'painted-model': '([model] s in the model)',
        styles: 'Style', dice: 'Another style by chance', photo: 'Style of a photo', second: 'Blend with a second style',
        'remove-second': 'Leave the second style out', blend: 'From the first style to the second', sheet: 'Sheet of eight',
        'sheet-hint': 'The same map in eight styles. Choose one.', 'eight-more': 'Eight others', seed: 'seed [seed]',
        'style-hint': 'A photo dropped on the picture gives its style.',
        noise: 'Noise', 'dice-noise': 'Other noise: another picture of this map', 'sheet-noise-hint': 'The same map with eight noises. Choose one.',
        'canvas-name': 'Canvas size', 'canvas-hint': 'The map is scaled to it. Up to [most] million pixels, [side] a side, fit here; a large picture follows the pen with fewer pixels.',
        'canvas-use': 'Change', 'canvas-width': 'Width in pixels', 'canvas-height': 'Height in pixels',
        'error-memory': 'A canvas of that size does not fit into the memory that is free now: choose a smaller one.',
        'error-canvas': 'A canvas has at most [most] million pixels here, [side] a side: choose a smaller one.', 'error-one_size': 'This model paints pictures of one size.',
        'start-maps': 'A map to start from', 'start-none': 'The run has no validation maps here.', more: 'More',
        'start-empty': 'An empty canvas', 'start-fill': 'Fill with', 'start-use': 'Begin', 'start-file': 'A file',
        'start-file-hint': 'Label map: PNG (or another lossless file) of class ids, or in exactly the colours of the classes.',
        'label-file': 'Label map', 'instance-file': 'Instance map (if there is one)', open: 'Open', 'project-file': 'Project file',
        'project-file-hint': 'Map, style and seed as they were saved here.', choose: 'Choose a file', 'no-file': 'none chosen', close: 'Close',
        'save-picture': 'Picture (PNG)', 'save-label': 'Label map (PNG)', 'save-instance': 'Instance map (PNG)', 'save-all': 'All of these (zip)',
        'save-project': 'Project file', 'save-link': 'Copy link', 'link-copied': 'Link copied ([size] kB). It opens this painting here.',
        'link-long': 'Link copied, but it is long ([size] kB) and some programs cut it: a project file is safer.',
        'link-shown': 'Copy this link:', 'project-opened': 'Opened.', 'drop-label': 'Label map or project', 'drop-style': 'Style photo',
        'no-style-here': 'This model has no style encoder: a photo changes nothing.',
        keys: 'Keyboard', 'key-size': 'Smaller, larger brush', 'key-undo': 'Undo', 'key-redo': 'Redo', 'key-zoom': 'Zoom in, out, whole map',
        'key-move': 'Hold to move the view', 'key-search': 'Search classes', 'key-object': 'New object', 'key-edges': 'Show edges',
        'key-dice': 'Another style by chance', 'key-save': 'Save the project', 'key-open': 'Begin with a map', 'key-help': 'This help', 'key-shift': 'Straight line, square, circle',
        'key-enter': 'Close the polygon', 'key-escape': 'Give up what is being drawn', space: 'Space', drag: 'drag',
        about: 'Draw on the label map; the picture follows. The mouse wheel or two fingers zoom. What you draw goes to the server that shows this page and nowhere else, and nothing is kept there: save what you like.',
        epoch: 'epoch [epoch]', 'class-count': '[count] classes',
        offline: 'The server does not answer. Is python -m paint still running? The next stroke tries again.',
        'error-failed': 'The server failed at this request; its terminal says why.', 'error-busy': 'The server is busy with other pages: try again in a moment.',
        'error-body': 'Too large: at most [most] MB are taken.', 'error-slow': 'The connection is too slow.',
        'error-malformed': 'The server does not understand this page: reload it.', 'error-input': 'The model cannot paint this map.',
        'error-host': 'Open the address that the server printed.', 'error-token': 'Open the address that the server printed: it holds a token, which changes at every start.', 'error-origin': 'Requests of other pages are refused.',
        'error-ids': 'The label map holds values that are no class of this model: [values] (pixels of each). Allowed: 0 to [highest].',
        'error-colours': '[count] colours are not those of a class: [colours] (pixels of each). None is guessed: smoothed borders are no labels.',
        'error-transparent': 'The label map is transparent in places: fill them with the colour of a class.',
        'error-not_picture': 'The [what] is no picture that can be read; [formats] can.', 'error-lossy': 'The [what] is compressed with loss, as JPEG is, which changes ids: use the original file.',
        'error-animated': 'The [what] holds several pictures: save one of them.',
        'error-pixels': 'The [what] has [found] pixels: at most [most] million are read.', 'error-unreadable': 'The [what] is damaged or cut off.',
        'error-side': 'The [what] has [found] pixels: at most [most] in a row or column are read.', 'error-costly': 'Reading this file takes too long or too much memory: save it anew, smaller and not progressive.',
        'error-other_size': 'The instance map is [found] pixels, the label map [expected]: they must have the same size.',
        'error-too_many': 'The instance map holds too many instances.', 'error-style': 'This model does not know that style.',
        'error-no_map': 'There is no such validation map.', 'error-damaged_map': 'This validation map cannot be read; the terminal of the server says why.',
        'project-damaged': 'This is no project, or it is damaged.', 'project-other-model': 'This project was drawn for a model with other classes.',
        'what-label': 'label map', 'what-instance': 'instance map', 'what-photo': 'photo',
        'not-started': 'This page could not be started: ', 'too-old': 'This browser is too old for this page.',
    },
    zh: {
        title: 'SPADE 画板', language: 'English', 'language-name': '用英文显示本页',
        new: '新建', 'new-name': '选择起始标签图', save: '保存', help: '快捷键与帮助', undo: '撤销', redo: '重做',
        tools: '工具', brush: '画笔', line: '直线', rectangle: '矩形', ellipse: '椭圆', polygon: '多边形', fill: '填充',
        pick: '从图中取类别', erase: '擦除为未标注', move: '移动视图', done: '闭合多边形',
        size: '粗细', classes: '类别', search: '搜索类别', 'in-map': '图中已有', all: '全部类别', none: '没有这个名称的类别。',
        unlabelled: '未标注', objects: '物体', 'new-object': '新物体',
        'new-object-name': '同一类别的另一个物体：与相接的同类之间保留边界', edges: '显示边界',
        'one-object': '与相接的同类连成一体', object: '物体 [number]', stuff: '背景类：不分物体',
        map: '标签图', 'map-hint': '选一个类别，在这里画', 'polygon-hint': '点出各角，回车闭合',
        picture: '图片', painting: '正在生成……', painted: '用时 [seconds] 秒', 'painted-model': '（其中模型 [model] 秒）',
        styles: '风格', dice: '随机换一种风格', photo: '取照片的风格', second: '与第二种风格混合',
        'remove-second': '去掉第二种风格', blend: '从第一种风格到第二种', sheet: '八种风格',
        'sheet-hint': '同一张标签图的八种风格，点选其一。', 'eight-more': '换八种', seed: '种子 [seed]',
        'style-hint': '把照片拖到图片上即可取其风格。',
        noise: '噪声', 'dice-noise': '换一种噪声：同一标签图的另一张图片', 'sheet-noise-hint': '同一张标签图的八种噪声，点选其一。',
        'canvas-name': '画布大小', 'canvas-hint': '标签图随之缩放。此处最多 [most] 百万像素，每边 [side]；图片较大时，落笔期间先以较少的像素显示。',
        'canvas-use': '更改', 'canvas-width': '宽（像素）', 'canvas-height': '高（像素）',
        'error-memory': '当前空闲内存放不下这么大的画布，请选小一些的。',
        'error-canvas': '此处的画布最多 [most] 百万像素，每边最多 [side]，请选小一些的。', 'error-one_size': '此模型只画一种大小的图片。',
        'start-maps': '现成的标签图', 'start-none': '此处没有该模型的验证集。', more: '更多',
        'start-empty': '空白画布', 'start-fill': '填充为', 'start-use': '开始', 'start-file': '文件',
        'start-file-hint': '标签图：类别编号的 PNG（或其他无损文件），或颜色与各类别完全一致的图。',
        'label-file': '标签图', 'instance-file': '实例图（如果有）', open: '打开', 'project-file': '工程文件',
        'project-file-hint': '在本页保存过的标签图、风格与种子。', choose: '选择文件', 'no-file': '未选择', close: '关闭',
        'save-picture': '图片（PNG）', 'save-label': '标签图（PNG）', 'save-instance': '实例图（PNG）', 'save-all': '以上全部（zip）',
        'save-project': '工程文件', 'save-link': '复制链接', 'link-copied': '链接已复制（[size] kB），打开即回到这幅画。',
        'link-long': '链接已复制，但较长（[size] kB），有的程序会截断它；工程文件更稳妥。',
        'link-shown': '请复制此链接：', 'project-opened': '已打开。', 'drop-label': '标签图或工程文件', 'drop-style': '风格照片',
        'no-style-here': '此模型没有风格编码器，照片不起作用。',
        keys: '快捷键', 'key-size': '减小、增大画笔', 'key-undo': '撤销', 'key-redo': '重做', 'key-zoom': '放大、缩小、显示全图',
        'key-move': '按住以移动视图', 'key-search': '搜索类别', 'key-object': '新物体', 'key-edges': '显示边界',
        'key-dice': '随机换一种风格', 'key-save': '保存工程', 'key-open': '选择起始标签图', 'key-help': '本帮助', 'key-shift': '直线、正方形、圆',
        'key-enter': '闭合多边形', 'key-escape': '放弃正在画的内容', space: '空格', drag: '拖动',
        about: '在标签图上画，图片随之变化。滚轮或双指缩放。所画内容只发给提供本页的服务器，服务器不作保存：请自行保存。',
        epoch: '第 [epoch] 轮', 'class-count': '[count] 个类别',
        offline: '服务器没有应答。python -m paint 还在运行吗？下一笔会再试。',
        'error-failed': '服务器处理此请求时出错，原因见其终端。', 'error-busy': '服务器正忙于其他页面，请稍后再试。',
        'error-body': '文件太大，最多 [most] MB。', 'error-slow': '连接太慢。',
        'error-malformed': '服务器无法理解本页的请求，请刷新。', 'error-input': '模型无法处理这张标签图。',
        'error-host': '请打开服务器给出的地址。', 'error-token': '请打开服务器给出的地址：其中含有令牌，每次启动都会更换。', 'error-origin': '拒绝来自其他网页的请求。',
        'error-ids': '标签图中有此模型没有的类别编号：[values]（括号内为像素数）。允许 0 到 [highest]。',
        'error-colours': '有 [count] 种颜色不属于任何类别：[colours]（括号内为像素数）。不作猜测：平滑过的边缘不是标签。',
        'error-transparent': '标签图有透明之处，请用某个类别的颜色填满。',
        'error-not_picture': '无法读取[what]；可用 [formats]。', 'error-lossy': '[what]是有损压缩的（如 JPEG），编号会改变，请使用原始文件。',
        'error-animated': '[what]含有多张图，请另存为单张图。',
        'error-pixels': '[what]有 [found] 像素，最多读取 [most] 百万。', 'error-unreadable': '[what]已损坏或不完整。',
        'error-side': '[what]有 [found] 像素，每行每列最多 [most]。', 'error-costly': '读取此文件耗时或占用内存过多：请另存为较小的、非渐进式的文件。',
        'error-other_size': '实例图为 [found] 像素，标签图为 [expected]，两者大小必须相同。',
        'error-too_many': '实例图中的实例太多。', 'error-style': '此模型不认识这种风格。',
        'error-no_map': '没有这张验证集标签图。', 'error-damaged_map': '无法读取这张验证集标签图，原因见服务器终端。',
        'project-damaged': '这不是工程文件，或已损坏。', 'project-other-model': '此工程所用模型的类别与当前模型不同。',
        'what-label': '标签图', 'what-instance': '实例图', 'what-photo': '照片',
        'not-started': '无法启动本页：', 'too-old': '浏览器版本太旧，无法显示本页。',
    },
};

const KEPT = 'spade-paint-language';
const listeners = [];

export let language = kept() || (navigator.languages || ['en']).map((name) => name.slice(0, 2)).find((name) => name in WORDS) || 'en';

function kept() {
    try {
        const name = localStorage.getItem(KEPT);
        return name in WORDS ? name : null;
    } catch {
        return null; // storage is switched off
    }
}

export function words(name, values = {}) {
    return (WORDS[language][name] ?? WORDS.en[name] ?? name).replace(/\[(\w+)\]/g, (whole, key) => values[key] ?? whole);
}

// What went wrong, in the page's language where it is known, else in the server's English.
export function wordsOf(error) {
    if (error.code === 'offline') return words('offline');
    if (error.code && `error-${error.code}` in WORDS.en) {
        const facts = { ...error.facts, what: words(`what-${error.facts.what || 'label'}`) };
        for (const name of ['values', 'colours']) if (Array.isArray(facts[name])) facts[name] = facts[name].join(', ');
        const text = words(`error-${error.code}`, facts);
        return text[0].toUpperCase() + text.slice(1);
    }
    return words(error.message);
}

export function onLanguage(listener) {
    listeners.push(listener);
    listener();
}

export function switchLanguage() {
    language = language === 'en' ? 'zh' : 'en';
    try {
        localStorage.setItem(KEPT, language);
    } catch { /* chosen until the page closes */ }
    translate();
}

export function translate(root = document) {
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
    document.title = words('title');
    for (const element of root.querySelectorAll('[data-words]')) element.textContent = words(element.dataset.words);
    for (const element of root.querySelectorAll('[data-name]')) {
        const keys = element.dataset.key ? ` (${element.dataset.key})` : '';
        element.title = words(element.dataset.name) + keys;
        element.setAttribute('aria-label', words(element.dataset.name));
    }
    for (const element of root.querySelectorAll('[data-placeholder]')) element.placeholder = words(element.dataset.placeholder);
    for (const listener of listeners) listener();
}
