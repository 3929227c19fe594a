-- :Treegraft and what follows it.

local client = require('treegraft.client')

local M = {}

local function say(message, level)
  vim.notify('treegraft: ' .. message, level or vim.log.levels.INFO)
end

---@param handler fun(result: any)
local function or_say(handler)
  return function(problem, result)
    if problem then
      say(problem.message or tostring(problem), vim.log.levels.ERROR)
    else
      handler(result)
    end
  end
end

---A window of its own, closed by q: what is longer than a line would wait for a key otherwise.
local function show_page(title, lines)
  vim.cmd('botright new')
  local buffer = vim.api.nvim_get_current_buf()
  vim.bo.buftype, vim.bo.bufhidden, vim.bo.swapfile = 'nofile', 'wipe', false
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo.modifiable = false
  vim.api.nvim_buf_set_name(buffer, title)
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buffer })
end

local function stats_lines(found)
  local lines = {}
  local function add(title, counted)
    table.insert(lines, title)
    local names = vim.tbl_keys(counted.counters or {})
    table.sort(names)
    for _, name in ipairs(names) do
      table.insert(lines, ('  %-32s %s'):format(name, counted.counters[name]))
    end
    names = vim.tbl_keys(counted.latenciesMs or {})
    table.sort(names)
    for _, name in ipairs(names) do
      local of = counted.latenciesMs[name]
      table.insert(lines, ('  %-32s p50 %s ms, p95 %s ms'):format(name, of.p50, of.p95))
    end
  end
  add('this editor', found)
  if type(found.engine) == 'table' then
    add('the engine', found.engine)
  end
  return lines
end

local actions = {
  toggle = function()
    client.execute('treegraft.toggle', nil, or_say(function(result)
      require('treegraft.ghost').reset()
      say(result.enabled and 'on' or 'off')
    end))
  end,
  why = function()
    client.request('treegraft/why', {}, or_say(function(result)
      say(result.why)
    end))
  end,
  stats = function()
    client.request('treegraft/stats', {}, or_say(function(result)
      show_page('treegraft statistics', stats_lines(result))
    end))
  end,
  status = function()
    client.request('treegraft/status', {}, or_say(function(result)
      local engine = type(result.engine) == 'table' and result.engine.state or 'not running'
      local word = result.message ~= '' and result.message or result.kind
      say(('%s; model %s, engine %s, version %s'):format(word, result.model, engine, result.version))
    end))
  end,
  restart = function()
    client.execute('treegraft.restartEngine', nil, or_say(function(result)
      require('treegraft.ghost').reset()
      say(result.running and 'the engine was restarted' or 'the engine does not start; see :Treegraft status')
    end))
  end,
  model = function(name)
    if not name then
      say('which model? As in :Treegraft model embedded', vim.log.levels.WARN)
      return
    end
    client.execute('treegraft.switchModel', { name }, or_say(function(result)
      say('model ' .. result.model)
    end))
  end,
  pull = function(name)
    if not name then
      say('which model? As in :Treegraft pull Qwen/Qwen2.5-Coder-0.5B', vim.log.levels.WARN)
      return
    end
    client.execute('treegraft.pullModel', { name }, or_say(function(result)
      say(result.model .. ' is here; :Treegraft model ' .. result.model .. ' uses it')
    end))
  end,
  log = function()
    vim.cmd('tabedit ' .. vim.fn.fnameescape((vim.lsp.log.get_filename or vim.lsp.get_log_path)()))
  end,
}

---@param words string[]
function M.run(words)
  local act = actions[words[1] or 'status']
  if not act then
    say('no such action: ' .. words[1], vim.log.levels.ERROR)
  elseif not client.get() and words[1] ~= 'log' then
    say(client.status.message .. "; require('treegraft').setup() starts it", vim.log.levels.WARN)
  else
    act(words[2])
  end
end

---@param typed string
---@param line string
---@return string[]
function M.complete(typed, line)
  local names = line:match('^%s*%S+%s+model%s') and { 'embedded' } or vim.tbl_keys(actions)
  table.sort(names)
  return vim.tbl_filter(function(name)
    return vim.startswith(name, typed)
  end, names)
end

return M
