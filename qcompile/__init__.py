"""qcompile: maps parameterized quantum circuits onto real chips, and says what that costs."""
