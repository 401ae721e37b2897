package sqlfield

// Limit makes n the bytes of the largest sealed value, and returns those it was before,
// of which a test should not make one.
func (c *Column[T]) Limit(n int) (before int) {
	before, c.most = c.most, n
	return before
}
