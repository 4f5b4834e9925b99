-- pandoc's reader of several pieces of Markdown, each by itself: no footnote or link of one is another's.
-- Each is a Div, with pandoc's first warning as its attribute.
function Reader(input, options)
  options.columns = 86 -- of a table whose columns are as wide as their cells
  local given = pandoc.json.decode(tostring(input))
  local blocks = pandoc.List {}
  for _, piece in ipairs(given.pieces) do
    local warnings, read = pandoc.log.silence(pandoc.read, piece.text, piece.format, options)
    local warning = warnings[1] and pandoc.json.decode(pandoc.json.encode(warnings[1])).type or ""
    blocks:insert(pandoc.Div(read.blocks, { warning = warning }))
  end
  return pandoc.Pandoc(blocks)
end
