// Package cache holds values for a limited time.
package cache

import (
	"errors"
	"sync"
	"time"
)

// ErrNotFound is returned when a key is absent or its value has expired.
var ErrNotFound = errors.New("cache: key not found")

type entry struct {
	value   []byte
	expires time.Time
}

// Cache is safe for concurrent use.
type Cache struct {
	mu      sync.RWMutex
	entries map[string]entry
	ttl     time.Duration
	now     func() time.Time
}

// New returns an empty cache whose values live for ttl.
func New(ttl time.Duration) *Cache {
	return &Cache{entries: make(map[string]entry), ttl: ttl, now: time.Now}
}

// Get returns the value of key, or ErrNotFound.
func (c *Cache) Get(key string) ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, ok := c.entries[key]
	if !ok || c.now().After(found.expires) {
		return nil, ErrNotFound
	}
	return found.value, nil
}

// Set stores value under key.
func (c *Cache) Set(key string, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[key] = entry{value: value, expires: c.now().Add(c.ttl)}
}

// Sweep removes what has expired and returns how many values it removed.
func (c *Cache) Sweep() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	removed := 0
	for key, found := range c.entries {
		if c.now().After(found.expires) {
			delete(c.entries, key)
			removed++
		}
	}
	return removed
}
