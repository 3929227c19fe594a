-- :checkhealth treegraft

local M = {}

local function reporter(new, elder)
  local health = vim.health or require('health')
  return health[new] or health[elder]
end

function M.check()
  local start, ok = reporter('start', 'report_start'), reporter('ok', 'report_ok')
  local warn, problem = reporter('warn', 'report_warn'), reporter('error', 'report_error')
  local info = reporter('info', 'report_info')
  local client, options = require('treegraft.client'), require('treegraft').options
  start('treegraft')
  local version = vim.version()
  local name = ('Neovim %d.%d.%d'):format(version.major, version.minor, version.patch)
  if vim.fn.has('nvim-0.7') == 1 then
    ok(name)
  else
    problem(name .. ' is too old: 0.7 or later')
  end
  local command = options.cmd[1]
  if vim.fn.executable(command) ~= 1 then
    problem(command .. ' is not on PATH', {
      'pip install treegraft',
      "or give its path: setup({ cmd = { '/path/to/treegraft', '--stdio' } })",
    })
    return
  end
  ok(vim.trim(vim.fn.system({ command, '--version' })) .. ' at ' .. vim.fn.exepath(command))
  for _, line in ipairs(vim.split(vim.trim(vim.fn.system({ command, 'doctor' })), '\n')) do
    if vim.startswith(line, '! ') then
      problem(line:sub(3))
    else
      info(line)
    end
  end
  if client.get() then
    local status = client.status
    local line = 'the server runs' .. (status.message ~= '' and ': ' .. status.message or '')
    local tell = status.kind == 'Error' and problem or status.kind == 'Warning' and warn or ok
    tell(line)
  else
    warn('the server does not run: ' .. client.status.message, { "require('treegraft').setup() in your init.lua" })
  end
  local key = options.keys.accept
  local mapped = key and vim.fn.maparg(key, 'i', false, true) or {}
  if key and not vim.startswith(mapped.desc or '', 'treegraft') and vim.fn.has('nvim-0.8') == 1 then
    warn(key .. ' is mapped by something else', { "another key: setup({ keys = { accept = '<C-y>' } })" })
  end
end

return M
