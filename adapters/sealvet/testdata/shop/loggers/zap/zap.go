// Package zap stands for a logger.
package zap

type Field struct{}

func Any(key string, v any) Field       { return Field{} }
func String(key string, v string) Field { return Field{} }
func Info(text string, fields ...Field) {}
