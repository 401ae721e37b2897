package sealvet
